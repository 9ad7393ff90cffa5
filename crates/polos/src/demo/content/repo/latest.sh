#!/bin/sh
# Reads version tags, one a line, and prints the newest.
set -eu
. "$(dirname "$0")/lib/version.sh"

newest=
while read -r tag; do
    if [ -z "$newest" ] || newer "$tag" "$newest"; then
        newest=$tag
    fi
done
[ -n "$newest" ] && echo "$newest"
