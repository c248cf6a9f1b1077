"""The checks of the cross-built wheel, and what the committed run under emulation states."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.tools.wheel_aarch64 import assertions, check, newest

ROOT = Path(__file__).parents[2]
SIZES = {
    "LONG": 8,
    "INT": 4,
    "VOID_P": 8,
    "WCHAR_T": 4,
    "SIZE_T": 8,
    "_BOOL": 1,
    "SHORT": 2,
    "FLOAT": 4,
    "DOUBLE": 8,
    "OFF_T": 8,
}


def test_every_size_of_a_pyconfig_is_asserted():
    text = "".join(f"#define {what}_{name} {size}\n" for name, size in SIZES.items() for what in ("SIZEOF", "ALIGNOF"))
    made = assertions(text + "#define HAVE_GCC_ASM_FOR_X64 1\n")
    assert made.count("static_assert(") == 2 * len(SIZES) + 1
    assert 'static_assert(sizeof(void*) == 8, "SIZEOF_VOID_P");' in made
    assert 'static_assert(alignof(bool) == 1, "ALIGNOF__BOOL");' in made


def test_a_pyconfig_that_only_points_elsewhere_is_refused():
    with pytest.raises(SystemExit, match="must define 20 sizes"):
        assertions("#include <x86_64-linux-gnu/python3.11/pyconfig.h>\n")


@pytest.mark.parametrize(
    "names",
    [
        ["edgeaff/ops/_C.cpython-311-x86_64-linux-gnu.so"],
        ["edgeaff/ops/_C.cpython-311-aarch64-linux-gnu.so", "edgeaff/ops/_C.cpython-311-x86_64-linux-gnu.so"],
        ["edgeaff/ops/_C.cpython-311-aarch64-linux-gnu.so", "tests/__init__.py"],
    ],
)
def test_a_wheel_with_the_wrong_content_is_refused(tmp_path, names):
    wheel = tmp_path / "edgeaff-0.0-cp311-cp311-linux_aarch64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in [*names, "edgeaff/py.typed", "edgeaff/assets/edge.eaff"]:
            archive.writestr(name, b"")
    with pytest.raises(SystemExit, match="must hold one aarch64 module"):
        check(wheel)


def test_versions_are_compared_as_numbers():
    assert newest("GLIBC_2.4 GLIBC_2.17 GLIBCXX_3.4.30 GLIBC_2.34 GLIBCXX_3.4.9", "GLIBC") == "2.34"
    assert newest("GLIBC_2.17 GLIBCXX_3.4.30 GLIBCXX_3.4.9", "GLIBCXX") == "3.4.30"


def test_committed_run_used_neon_and_passed():
    results = json.loads((ROOT / "benchmarks/results/aarch64.json").read_text(encoding="utf-8"))
    assert "cp311" in results
    for made in results.values():
        assert made["target"]["architecture"] == "aarch64"
        assert made["target"]["build"]["instruction_set_used"] == "neon"
        assert made["tests"] and all(row["passed"] > 0 and row["failed"] == 0 for row in made["tests"])
        assert max(made["target"]["golden_max_abs_difference"].values()) <= 1e-4
        assert made["machine"]["processor"] and made["run"]["commit"] and made["run"]["date"]
