"""The counter of lines: what it finds, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.check_sizes import native_functions, problems, python_functions

NATIVE = """
namespace a {
#define OPEN(x) { \\
  x
struct S {
  int F() const {
    if (true) {
      return '{';
    }
    return 1;  // }
  }
};
template <class T>
void G(T a,
       T b) {
  Call("}", [&](int c) { return c; });
}
constexpr int kTable[] = {1, 2};
}  // namespace a
"""


def write(root: Path, name: str, text: str) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
    return root


def test_functions_of_cpp_are_found_with_their_lines() -> None:
    found = list(native_functions(NATIVE))
    assert [(head.split("(")[0].split()[-1], line, lines) for head, line, lines in found] == [("F", 6, 6), ("G", 13, 5)]


def test_a_docstring_does_not_count() -> None:
    text = 'def f():\n    """One.\n\n    Two.\n    """\n    def g():\n        return 1\n    return g\n'
    assert list(python_functions(text)) == [("f", 1, 4), ("g", 6, 2)]


@pytest.mark.parametrize("lines", [60, 61])
def test_long_functions_are_named(tmp_path: Path, lines: int) -> None:
    write(tmp_path, "edgeaff/a.py", "def long():\n" + "    x = 1\n" * (lines - 1))
    write(tmp_path, "csrc/a.cc", "void Long() {\n" + "  Call();\n" * (lines - 2) + "}\n")
    named = [line.split(": ")[0] for line in problems(tmp_path)]
    assert named == ([] if lines == 60 else ["csrc/a.cc:1", "edgeaff/a.py:1"])


@pytest.mark.parametrize("lines", [500, 501])
def test_long_files_are_named(tmp_path: Path, lines: int) -> None:
    found = problems(write(tmp_path, "tests/b.py", "x = 1\n" * lines))
    assert found == ([] if lines == 500 else ["tests/b.py: 501 lines, at most 500 are allowed"])


def test_functions_with_many_positional_parameters_are_named(tmp_path: Path) -> None:
    names = ", ".join(f"p{index}" for index in range(7))
    write(
        tmp_path,
        "edgeaff/a.py",
        f"class A:\n    def many(self, {names}): ...\n    def few(self, a, *, {names[4:]}): ...\n",
    )
    assert problems(tmp_path) == ["edgeaff/a.py:2: many has 7 positional parameters, at most 6 are allowed"]


@pytest.mark.parametrize("count", [12, 13])
def test_too_many_wide_functions_are_named(tmp_path: Path, count: int) -> None:
    names = ", ".join(f"p{index}" for index in range(7))
    write(tmp_path, "edgeaff/a.py", "".join(f"def f{index}(*, {names}): ...\n" for index in range(count)))
    found = problems(tmp_path)
    assert len(found) == (0 if count == 12 else 14)
    assert not found or found[-1] == "13 functions have more than 6 parameters, at most 12 are allowed"
