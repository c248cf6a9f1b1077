"""The reader of ptxas reports, and the kernels under it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.check_spills import parse_report

REPORT = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4fineIfEvv' for 'sm_87'
ptxas info    : Function properties for _Z4fineIfEvv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 122 registers, used 1 barriers, 640 bytes cmem[0]
ptxas info    : Compiling entry function '_Z5spillv' for 'sm_90'
    168 bytes stack frame, 304 bytes spill stores, 744 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 168 bytes cumulative stack size
"""


def test_report_is_read_by_kernel_and_architecture() -> None:
    assert parse_report(REPORT) == {"_Z4fineIfEvv sm_87": (122, 0), "_Z5spillv sm_90": (255, 1048)}


@pytest.mark.slow
@pytest.mark.needs_nvcc
@pytest.mark.timeout(3000)
def test_no_kernel_spills_on_any_architecture(root: Path) -> None:
    subprocess.run([sys.executable, str(root / "tests/tools/check_spills.py"), "--all"], check=True)
