"""The stamp of results: who writes one has it, and it names no commit of another's repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgeaff import machine

WRITERS = (
    "benchmarks/kernels.py",
    "edgeaff/cli/evaluate.py",
    "recipes/face_encoder/quantize.py",
    "recipes/default_bundle/__main__.py",
    "recipes/default_bundle/end_to_end.py",
    "recipes/face_detector/export.py",
    "recipes/face_encoder/evaluate.py",
    "benchmarks/faces.py",
    "benchmarks/handover.py",
    "benchmarks/int8.py",
    "benchmarks/parity.py",
    "benchmarks/replay_overload.py",
    "benchmarks/several.py",
    "benchmarks/tensorrt_builds.py",
    "tests/soak/__main__.py",
    "tests/tools/emulate_aarch64.py",
)


def test_stamp_states_machine_versions_date_and_commit() -> None:
    found = machine.stamp()
    assert set(found) == {"run", "machine"} and set(found["run"]) == {"date", "commit"}
    assert found["run"]["date"].endswith("+00:00")
    assert {"processor", "cores", "versions", "build", "load_average"} <= set(found["machine"])


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_of_results_stamps_them(root: Path, writer: str) -> None:
    assert "stamp()" in (root / writer).read_text(encoding="utf-8")


def test_commit_is_of_the_file_not_of_a_folder_around_it(tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    (tmp_path / "own.py").write_text("")
    for command in (["init", "-q"], ["add", "own.py"], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    other = tmp_path / "site-packages" / "machine.py"
    other.parent.mkdir()
    shutil.copy(machine.__file__, other)
    assert machine.commit(other) is None and machine.commit(tmp_path / "own.py")
    (tmp_path / "own.py").write_text("changed")
    assert str(machine.commit(tmp_path / "own.py")).endswith("+")
