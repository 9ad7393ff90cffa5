#!/usr/bin/env bash
# Runs every test of this repository, with fixed seeds, from a bare machine: installs what is
# missing, checks format, layers and lints, and runs the tests. Exits with the tests' own status.
#
#   ./test.sh             everything that a change must pass
#   ./test.sh --full      the long ones too: many seeds, many kills
#   POLOS_REQUIRE_SANDBOX=1 ./test.sh    fails where the sandbox cannot be tested
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '== %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else say "not root, and no sudo: please run: $*"; return 1
  fi
}

# A C compiler (SQLite, ring and the shell grammar are C) and git (the demo works on a repository).
missing=()
command -v cc >/dev/null 2>&1 || missing+=(gcc libc6-dev)
command -v git >/dev/null 2>&1 || missing+=(git)
# The fakes of model providers are judged by the vendors' Python clients.
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
command -v curl >/dev/null 2>&1 || command -v cargo >/dev/null 2>&1 || missing+=(curl ca-certificates)
if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null 2>&1; then
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
fi
for tool in cc git; do
  command -v "$tool" >/dev/null 2>&1 || { say "\`$tool\` is missing: install it and try again"; exit 2; }
done

[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
if ! command -v cargo >/dev/null 2>&1; then
  say "installing Rust"
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile minimal -c clippy -c rustfmt
  . "$HOME/.cargo/env"
fi
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

# A build of nothing but this, once: incremental files are of no use then.
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

tier=(--profile ci)
[ "${1:-}" = "--full" ] && tier=(--full)
if ! cargo nextest --version >/dev/null 2>&1; then
  say "cargo-nextest is not here: the tests run with cargo's own runner, which is slower"
  [ "${tier[0]}" = "--full" ] || tier=()
fi

say "format, layers, lints, generated files"
cargo xtask check

say "tests, and the examples in the documentation"
cargo xtask test "${tier[@]}"

say "model providers"
tests/providers/test.sh

if command -v node >/dev/null 2>&1; then
  say "the TypeScript SDK"
  cargo build --quiet -p polos
  sdk/typescript/test.sh
else
  say "no Node: the TypeScript SDK is not tested"
fi

say "the Python SDK"
sdk/python/test.sh
