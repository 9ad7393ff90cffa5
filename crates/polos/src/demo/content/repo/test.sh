#!/bin/sh
# Runs all tests; fails if one of them does.
cd "$(dirname "$0")" || exit 1
. ./lib/version.sh
ran=0
failed=0

check() { # check DESCRIPTION EXPECTED ACTUAL
    ran=$((ran + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $ran - $1"
    else
        failed=$((failed + 1))
        echo "not ok $ran - $1: expected '$2', got '$3'"
    fi
}

latest() { # latest TAG...
    printf '%s\n' "$@" | sh ./latest.sh
}

is_newer() { # is_newer A B
    if newer "$1" "$2"; then echo yes; else echo no; fi
}

check "one tag is the newest" "1.0.0" "$(latest 1.0.0)"
check "a patch is newer" "1.0.1" "$(latest 1.0.0 1.0.1)"
check "the order of the tags does not matter" "2.0.0" "$(latest 2.0.0 1.9.9)"
check "ten is more than nine" "1.10.0" "$(latest 1.9.0 1.10.0 1.2.0)"
check "a v before the number is no part of it" "v1.12.0" "$(latest v1.9.3 v1.12.0)"
check "a missing part counts as 0" "no" "$(is_newer 1.2.0 1.2)"
check "more parts can be newer" "yes" "$(is_newer 1.2.1 1.2)"

echo "$((ran - failed)) of $ran tests passed"
[ "$failed" -eq 0 ]
