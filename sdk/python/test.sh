#!/usr/bin/env bash
# Checks and tests the Python SDK against a build of this repository's `polos`, in a virtual
# environment of its own with pinned packages.
#
#   sdk/python/test.sh              everything that a change must pass
#   sdk/python/test.sh --full       more random programs
#   sdk/python/test.sh -k values    with arguments for pytest: only its tests
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '== python: %s\n' "$*" >&2; }

python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
  say "Python 3.10 or later is needed, and \`$python\` is $("$python" --version)"
  exit 2
}
if [ ! -x .venv/bin/python ] || ! cmp -s constraints.txt .venv/constraints.txt; then
  say "making a virtual environment"
  "$python" -m venv --clear .venv
  # By the environment the pins hold for what builds the package, too.
  PIP_CONSTRAINT=constraints.txt .venv/bin/python -m pip install --quiet \
    --disable-pip-version-check --editable . \
    aiosqlite asyncpg 'psycopg[binary]' pyright pytest pytest-xdist ruff
  cp constraints.txt .venv/constraints.txt
fi
export PATH="$PWD/.venv/bin:$PATH"

if [ -z "${POLOS_BINARY:-}" ]; then
  say "building polos"
  (cd ../.. && cargo build --quiet --package polos)
fi

if [ "${1:-}" = "--full" ]; then
  export POLOS_PROPERTY_SEEDS="${POLOS_PROPERTY_SEEDS:-100}"
  shift
fi
if [ $# -eq 0 ]; then
  say "format, lints, types, generated files"
  ruff format --check --quiet .
  ruff check --quiet .
  python scripts/generate_protocol.py --check
  pyright
fi

# Most of a test's time is waiting, so several go at once.
say "tests"
exec python -m pytest --numprocesses "${POLOS_TEST_PROCESSES:-4}" "$@"
