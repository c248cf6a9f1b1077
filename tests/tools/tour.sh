#!/usr/bin/env bash
# What a newcomer does, in a fresh clone of HEAD in an empty folder: the demo, the benchmark, every example, the documentation.
# Stops at the first step that fails; ends with the seconds of each.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
times=""

step() {
    local name=$1 start=$SECONDS
    shift
    printf '\n=== %s: %s\n' "$name" "$*"
    "$@"
    times+=$(printf '%6d s  %s' $((SECONDS - start)) "$name")$'\n'
}

cd "$work"
step "clone" git clone --quiet "$root" edgeaff
cd edgeaff
step "demo" make demo
step "benchmark, as after the demo" .venv/bin/python benchmarks/latency.py
step "development environment" make dev
step "benchmark, with peers" .venv/bin/python benchmarks/latency.py
step "examples" .venv/bin/python -m pytest tests/examples
step "documentation" make docs
printf '\nAll green.\n%s' "$times"
