"""Builds the C++ tests, under sanitizers and for aarch64, and runs them; LLD rows are compared with stored ones.

`make test-sanitize` and `make test-aarch64` run this file; both take minutes for the build.
"""

from pathlib import Path

import numpy as np
import pytest

from edgeaff.ops.face_nets import ARRAYS
from edgeaff.ops.reference_nets import run_net
from tests.cpp.programs import AARCH64, EMULATOR, ROOT, UNDEFINED, build, run
from tests.ops.made_nets import small_detector, small_encoder

GOLDEN = ROOT / "tests" / "golden" / "lld_golden.npz"


def run_all(programs: Path, *runner: str) -> None:
    names = sorted(path.stem for path in (ROOT / "tests" / "cpp").glob("test_*.cc"))
    assert "test_lld" in names
    for name in names:
        run(*runner, str(programs / name))


def assert_stored_rows(programs: Path, *runner: str, instruction_sets: tuple[str, ...]) -> None:
    """Holds the rows against those of the NumPy twin, within the acceptance bar (measured: 2.3e-7 on x86 and aarch64)."""
    golden = np.load(GOLDEN)
    for clip in ("voice", "mixed", "clipped"):
        expected = golden[f"{clip}_lld_4"].astype(np.float64)
        scale = np.maximum(np.abs(expected).max(axis=0), 1e-30)
        for name in instruction_sets:
            data = golden[f"{clip}_samples"].astype("<i2").tobytes()
            rows = np.frombuffer(run(*runner, str(programs / "lld_rows"), "4", name, data=data), "<f4").reshape(-1, 65)
            assert rows.shape == expected.shape
            error = np.abs(rows - expected) / scale
            assert ((error > 1e-5).sum(axis=0) <= 3).all(), (name, np.argwhere(error > 1e-5)[:9])
            np.testing.assert_array_equal(rows[:, 0] > 0, expected[:, 0] > 0)


def assert_net_bytes(programs: Path, *runner: str, instruction_sets: tuple[str, ...]) -> None:
    """Holds every tensor and output of the int8 networks against the NumPy twin: equal bytes."""
    rng = np.random.default_rng(0)
    for arrays, shape, size in ((small_detector(), (3, 64, 96), (64, 96)), (small_encoder(), (96, 96, 3), (96, 96))):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        tensors, outputs = run_net(arrays, image)
        expected = b"".join(array.tobytes() for array in (*tensors, *outputs))
        pieces = [*(arrays[name] for name in ARRAYS), image]
        data = b"".join(np.int64(piece.size).tobytes() + piece.tobytes() for piece in pieces)
        for name in instruction_sets:
            assert run(*runner, str(programs / "net_bytes"), name, *map(str, size), data=data) == expected, name


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_sanitizers_find_nothing():
    programs = build("sanitize", UNDEFINED)
    run_all(programs)
    assert_stored_rows(programs, instruction_sets=("scalar", "avx2", "avx512"))
    assert_net_bytes(programs, instruction_sets=("scalar", "avx2", "avx512"))


@pytest.mark.system
@pytest.mark.timeout(1800)
def test_aarch64_is_right_under_qemu():
    programs = build("aarch64", AARCH64)
    run_all(programs, *EMULATOR)
    assert_stored_rows(programs, *EMULATOR, instruction_sets=("scalar", "neon"))
    assert_net_bytes(programs, *EMULATOR, instruction_sets=("scalar", "neon", "neondot"))
    without_dot_products = ("qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu")
    assert_net_bytes(programs, *without_dot_products, instruction_sets=("best",))
