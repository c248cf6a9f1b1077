"""The C interface's page follows its header, and its first program is a whole one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tools.c_api import HEADER, PAGE, page_with_reference


def test_reference_is_that_of_the_header() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page_with_reference(page, HEADER.read_text(encoding="utf-8")) == page


def test_every_function_has_a_comment_of_its_own() -> None:
    header = HEADER.read_text(encoding="utf-8")
    declared = re.findall(r"EDGEAFF_API[^;]*?\b(edgeaff_\w+)\(", header)
    reference = PAGE.read_text(encoding="utf-8").split("## Reference")[1]
    assert len(declared) == len(set(declared)) and all(f"{name}(" in reference for name in declared)


@pytest.mark.needs_native
def test_first_program_of_the_page_compiles_and_is_short(tmp_path: Path) -> None:
    program = re.search(r"```c\n(#include.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert program is not None and program[1].count("\n") < 60
    (tmp_path / "first.c").write_text(program[1])
    compiler = shutil.which("cc") or "cc"
    warnings = ("-Wall", "-Wextra", "-pedantic", "-Werror")
    command = [compiler, "-std=c99", *warnings, f"-I{HEADER.parent}", "-fsyntax-only", str(tmp_path / "first.c")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
