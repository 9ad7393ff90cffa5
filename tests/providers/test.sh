#!/usr/bin/env bash
# Speaks with a fake of both model providers, which the vendors' own clients and types have judged.
# Needs Python 3.11 and a built `polos` (POLOS_BINARY, or the newest debug build here).
set -euo pipefail
cd "$(dirname "$0")"

venv="${CARGO_TARGET_DIR:-$PWD/../../target}/venv/providers"
if ! cmp -s constraints.txt "$venv/constraints.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement constraints.txt
  cp constraints.txt "$venv/constraints.txt"
fi
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
exec "$venv/bin/python" -m pytest --quiet "$@"
