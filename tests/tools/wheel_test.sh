#!/usr/bin/env bash
# Builds the source archive and from it the wheel (CUDA off), installs it with PyAV into an environment that has nothing else but numpy, and runs the smoke test there.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-$root/.venv/bin/python}
uv=$root/.venv/bin/uv
export UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || true)}}
export UV_SYSTEM_CERTS=1

cd "$root"
"$uv" build --quiet --sdist --no-build-isolation --python "$python" --out-dir "$work/sdist" .
EDGEAFF_CUDA=OFF "$uv" build --quiet --wheel --no-build-isolation --python "$python" --out-dir "$work/dist" "$work"/sdist/*.tar.gz
"$uv" venv --quiet --python "$python" "$work/venv"
"$uv" pip install --quiet --python "$work/venv/bin/python" --constraint "$root/constraints.txt" "$(ls "$work"/dist/*.whl)" "av>=15"
cp "$root/tests/tools/smoke_test.py" "$work/smoke_test.py"
cd "$work"
"$work/venv/bin/python" smoke_test.py
