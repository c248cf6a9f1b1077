"""Writes `edgeaff/ops/_C.pyi`, the types of the compiled module, from the signatures that pybind11 states: `make stubs`.

`--check` writes nothing and fails where the file differs from what the module states. Parts that only a CUDA build has are in the stub
on every machine: they are taken over from the file where the module at hand lacks them.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

TARGET = Path(__file__).resolve().parents[2] / "edgeaff" / "ops" / "_C.pyi"
HEAD = '''"""Types of the compiled module, written by `make stubs`; edgeaff.ops, features and backends wrap and document it."""

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
'''
CUDA_ONLY = ("cross_modal_attention_cuda", "CudaBuffer")  # and what else begins with "cuda"
REPLACED = (
    (r"typing\.SupportsInt \| typing\.SupportsIndex", "int"),
    (r"typing\.SupportsFloat \| typing\.SupportsIndex", "float"),
    (r"typing\.Annotated\[numpy\.typing\.ArrayLike, numpy\.(\w+)(?:, [^\]]*)?\]", r"npt.NDArray[np.\1]"),
    (r"typing\.Annotated\[numpy\.typing\.NDArray\[numpy\.(\w+)\](?:, [^\]]*)?\]", r"npt.NDArray[np.\1]"),
    (r"numpy\.typing\.NDArray\[numpy\.(\w+)\]", r"npt.NDArray[np.\1]"),
    (r"numpy\.ndarray", "np.ndarray"),
    (r"collections\.abc\.|typing\.|edgeaff\.ops\._C\.", ""),
    (r"\(self: \w+", "(self"),
    (r"\bCallable\b(?!\[)", "Callable[..., Any]"),
    (r"\b(dict|tuple|list|Sequence)\b(?!\[)", r"\1[Any]"),
    (r"\b(dict)\[Any\]", "dict[str, Any]"),
    (r"\btuple\[Any\]", "tuple[Any, ...]"),
    (r"np\.ndarray\b", "npt.NDArray[Any]"),
    (r"<[^<>]*>", "..."),
)


def tidy(signature: str) -> str:
    """Returns a signature of pybind11 with the types of this stub; one that is no Python is (*args: Any, **kwargs: Any) -> Any."""
    for pattern, text in REPLACED:
        signature = re.sub(pattern, text, signature)
    try:
        ast.parse(f"def f{signature}: ...")
    except SyntaxError:
        return "(*args: Any, **kwargs: Any) -> Any"
    return signature


def signatures(name: str, function: Any) -> list[str]:
    """Returns the signatures of a function: several where it is overloaded."""
    lines = (function.__doc__ or "").splitlines()
    if lines and lines[0].strip() == f"{name}(*args, **kwargs)":
        return [tidy(line.split(name, 1)[1]) for line in lines if re.match(rf"\s*\d+\. {name}\(", line)]
    return (
        [tidy(lines[0].split(name, 1)[1])]
        if lines and lines[0].startswith(f"{name}(")
        else ["(*args: Any, **kwargs: Any) -> Any"]
    )


def define(name: str, function: Any, indent: str = "") -> list[str]:
    """Returns the lines of a function."""
    found = signatures(name, function)
    lines = []
    for signature in found:
        if len(found) > 1:
            lines.append(f"{indent}@overload")
        lines.append(f"{indent}def {name}{signature}: ...")
    return lines


def define_class(name: str, kind: type) -> list[str]:
    """Returns the lines of a class: constructor, methods, properties and constants."""
    lines = [f"class {name}:"]
    for member, value in sorted(vars(kind).items()):
        if member.startswith("_") and member != "__init__":
            continue
        if isinstance(value, property):
            match = re.search(r"->\s*(.+)$", ((value.fget and value.fget.__doc__) or "").strip())
            result = tidy(f"() -> {match[1]}").partition("-> ")[2] if match else "Any"
            lines += ["    @property", f"    def {member}(self) -> {result}: ..."]
        elif callable(value):
            lines += define(member, value, "    ")
        elif isinstance(value, staticmethod):
            lines += ["    @staticmethod", *define(member, value.__func__, "    ")]
        else:
            lines.append(f"    {member}: {type(value).__name__ if not isinstance(value, kind) else name}")
    return lines if len(lines) > 1 else [*lines, "    ..."]


def write_stub(module: ModuleType) -> str:
    """Returns the stub of a module."""
    parts = [HEAD.rstrip("\n")]
    for name, value in sorted(vars(module).items()):
        if name.startswith("__"):
            continue
        if inspect.isclass(value):
            parts.append("\n" + "\n".join(define_class(name, value)))
        elif callable(value):
            parts.append("\n".join(define(name, value)))
        else:
            parts.append(f"{name}: {type(value).__name__}")
    return format_stub("\n".join(parts) + "\n")


def format_stub(text: str) -> str:
    """Returns a stub as `ruff format` writes it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", TARGET.name, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def stated(text: str) -> dict[str, str]:
    """Returns name -> definition of every function and class at the top of a stub."""
    found: dict[str, str] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = found.get(node.name, "") + ast.unparse(node) + "\n"
        elif isinstance(node, ast.AnnAssign):
            found[ast.unparse(node.target)] = ast.unparse(node)
    return found


def is_cuda(name: str) -> bool:
    """Returns whether only a build with CUDA has a name."""
    return name in CUDA_ONLY or name.lower().startswith("cuda") or name.endswith("_cuda")


def differences(module: ModuleType, text: str) -> list[str]:
    """Returns the differences between a stub and the module."""
    mine, theirs = stated(write_stub(module)), stated(text)
    names = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
    return [name for name in names if not is_cuda(name) or (name in mine and name in theirs)]


def main() -> int:
    """Writes the stub, or returns 1 where it differs (--check)."""
    from edgeaff.ops import native

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    before, module = TARGET.read_text(encoding="utf-8"), native()
    if parser.parse_args().check:
        wrong = differences(module, before)
        print(
            f"{TARGET.name} differs in {', '.join(wrong)}; run `make stubs`"
            if wrong
            else "the stub is that of the module"
        )
        return int(bool(wrong))
    kept = {name: text for name, text in stated(before).items() if is_cuda(name) and not hasattr(module, name)}
    text = write_stub(module) + "".join(f"{text.rstrip()}\n" for _, text in sorted(kept.items()))
    TARGET.write_text(format_stub(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
