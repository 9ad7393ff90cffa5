#!/usr/bin/env bash
# Installs what package-lock.json names, and runs every check and test of the TypeScript SDK and its
# examples. Needs Node 20.19 or later, npm, and the server: `cargo build -p polos`, or POLOS_BINARY.
set -euo pipefail
cd "$(dirname "$0")"

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -lt 20 ]; then
  echo "the TypeScript SDK needs Node 20.19 or later; found: $(node --version 2>/dev/null || echo none)" >&2
  exit 2
fi

npm ci --no-audit --no-fund
npm run --silent lint
npm run --silent build
npm run --silent build:programs
(cd ../../examples/typescript && npm ci --no-audit --no-fund && npm run --silent build)
npm run --silent types
npm test --silent
