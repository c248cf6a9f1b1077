#!/usr/bin/env bash
# Writes constraints.txt: every package of every extra and group, for all supported Pythons and systems, with the hashes of its files.
# torch stands apart, without a hash: its build (CPU, CUDA) depends on where it is taken from. Options go to `uv pip compile`, for
# example --upgrade or --upgrade-package NAME.
set -euo pipefail
cd "$(dirname "$0")/../.."
extras="media live view serve train onnxruntime export openvino mqtt sign table archive s3 hub ray lab demo"
groups="build test archive lint docs package"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

grep '^torch==' constraints.txt > "$work/torch.txt"
grep -v '^#\|^torch==' constraints.txt > "$work/locked.txt" || true
# Not from files at hand: what is locked is what the index has.
env UV_FIND_LINKS= .venv/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-package torch --no-header --no-annotate \
    $(printf -- '--extra %s ' $extras) $(printf -- '--group %s ' $groups) "$@" \
    --constraint "$work/torch.txt" --output-file "$work/locked.txt" pyproject.toml
{
    echo "# Written by \`make constraints\`. torch is pinned without a hash, as its build depends on where it is taken from;"
    echo "# uv checks the hashes of all others when it installs with this file as constraints."
    cat "$work/torch.txt" "$work/locked.txt"
} > constraints.txt
