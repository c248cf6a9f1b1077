"""Fails when a C++ file includes what its layer may not: no torch, pybind11 or NvInfer header below the adapters."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CORE = ("include", "base", "core", "kernels", "lld", "nets", "vision")
FORBIDDEN = re.compile(r'#\s*include\s*[<"](torch/|ATen/|c10/|pybind11/|Python\.h|NvInfer)')
FORBIDDEN_EVERYWHERE = re.compile(r'#\s*include\s*[<"](torch/|ATen/|c10/)')
UPWARD = re.compile(r'#\s*include\s*"(\.\./)?(kernels|lld|vision|core|nets|python|tensorrt)/')


def problems() -> list[str]:
    found = []
    for path in sorted((ROOT / "csrc").rglob("*")):
        if path.suffix not in {".h", ".cc", ".cu", ".cuh"}:
            continue
        room = path.relative_to(ROOT / "csrc").parts[0]
        rule = FORBIDDEN if room in CORE else FORBIDDEN_EVERYWHERE
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if rule.search(line) or (room == "include" and UPWARD.search(line)):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()} is not allowed in csrc/{room}")
    return found


if __name__ == "__main__":
    lines = problems()
    print("\n".join(lines) or "includes obey the layers")
    sys.exit(bool(lines))
