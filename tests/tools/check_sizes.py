"""Fails where a file has more than 500 lines or a function more than 60, in Python (without its docstring) and in C++ and CUDA.

In the package it also fails where a function has more than six positional parameters, or more than twelve functions have more
than six parameters.

A C++ function is a block behind a parameter list that lies in nothing but namespaces, classes and `extern "C"`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("edgeaff", "recipes", "csrc", "tests", "benchmarks", "examples")
NATIVE = {".cc", ".h", ".cu", ".cuh"}
MOST_IN_FILE, MOST_IN_FUNCTION = 500, 60
MOST_PARAMETERS, MOST_WIDE_FUNCTIONS = 6, 12
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)
SCOPE = re.compile(r"\b(namespace|struct|class|enum|union)\b[^()]*$|\bextern\s*$")


def python_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Yields (name, line, lines without the docstring) of every function, nested ones too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1 - docstring


def parameters(text: str) -> Iterator[tuple[str, int, int, int]]:
    """Yields (name, line, positional parameters, all parameters) of every function; self and cls do not count."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            positional = [one for one in (*node.args.posonlyargs, *node.args.args) if one.arg not in ("self", "cls")]
            yield node.name, node.lineno, len(positional), len(positional) + len(node.args.kwonlyargs)


def wide_functions(root: Path) -> list[str]:
    """Returns a line for every function of the package with too many positional parameters, and for too many wide ones."""
    found, wide = [], []
    for path in sorted((root / "edgeaff").rglob("*.py")):
        name = path.relative_to(root)
        for function, line, positional, count in parameters(path.read_text(encoding="utf-8")):
            if positional > MOST_PARAMETERS:
                found.append(
                    f"{name}:{line}: {function} has {positional} positional parameters, at most {MOST_PARAMETERS} are allowed"
                )
            if count > MOST_PARAMETERS:
                wide.append(f"{name}:{line}: {function} has {count} parameters")
    if len(wide) > MOST_WIDE_FUNCTIONS:
        found += [
            *wide,
            f"{len(wide)} functions have more than {MOST_PARAMETERS} parameters, at most {MOST_WIDE_FUNCTIONS} are allowed",
        ]
    return found


def native_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Yields (head, line, lines) of every function of a C++ or CUDA file."""
    text = NOT_CODE.sub(lambda match: re.sub(r"[^\n]", "", match[0]), text)
    text = re.sub(
        r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda match: re.sub(r"[^\n]", "", match[0]), text, flags=re.MULTILINE
    )
    open_blocks: list[tuple[bool, int, str]] = []  # (is a function, line of its head, head)
    head, line = "", 1
    for character in text:
        line += character == "\n"
        if character == "{":
            inside = any(is_function for is_function, _, _ in open_blocks)
            is_function = not inside and ")" in head and not SCOPE.search(head)
            open_blocks.append((is_function, line - head.strip().count("\n"), head))
        elif character == "}" and open_blocks:
            is_function, first, whole = open_blocks.pop()
            if is_function:
                yield " ".join(whole.split()), first, line - first + 1
        head = "" if character in "{};" else head + character


def problems(root: Path = ROOT) -> list[str]:
    """Returns a line for everything that is too long."""
    found = []
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*")):
        if path.suffix not in {".py", *NATIVE} or "build" in path.relative_to(root).parts:
            continue
        text, name = path.read_text(encoding="utf-8"), path.relative_to(root)
        if (lines := len(text.splitlines())) > MOST_IN_FILE:
            found.append(f"{name}: {lines} lines, at most {MOST_IN_FILE} are allowed")
        functions = python_functions(text) if path.suffix == ".py" else native_functions(text)
        for function, line, lines in functions:
            if lines > MOST_IN_FUNCTION:
                found.append(
                    f"{name}:{line}: {function[-60:]} has {lines} lines, at most {MOST_IN_FUNCTION} are allowed"
                )
    return found + wide_functions(root)


if __name__ == "__main__":
    report = problems()
    print("\n".join(report) or "files and functions are short enough")
    sys.exit(bool(report))
