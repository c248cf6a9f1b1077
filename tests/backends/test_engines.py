"""ONNX Runtime and OpenVINO come through one door, which keeps them from reporting to their makers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgeaff.backends import engines

from ..conftest import ROOT

IMPORT = re.compile(r"^\s*(import|from) (onnxruntime|openvino)\b", re.MULTILINE)


def test_nobody_else_imports_them_first() -> None:
    """`from onnxruntime.quantization import ...` is allowed where import_onnxruntime() stands before it in the same function."""
    wrong = []
    for folder in ("edgeaff", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "engines.py":
                continue
            text = path.read_text()
            for match in IMPORT.finditer(text):
                function = text[: match.start()].rpartition("\ndef ")[2]
                if f"import_{match[2]}()" not in function:
                    wrong.append(f"{path.relative_to(ROOT)}: {match[0].strip()}")
    assert wrong == []


def in_new_process(tmp_path: Path, program: str, **environment: str) -> None:
    subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), **environment},
        check=True,
        timeout=60,
    )


def test_onnxruntime_leaves_no_device_id(tmp_path: Path) -> None:
    in_new_process(tmp_path, "from edgeaff.backends.engines import import_onnxruntime; import_onnxruntime()")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs_openvino
def test_openvino_leaves_no_statistics_and_its_reporter_stays_importable(tmp_path: Path) -> None:
    program = """
from edgeaff.backends.engines import import_openvino
import sys
assert import_openvino().Core().available_devices and "openvino_telemetry" not in sys.modules
assert import_openvino() is sys.modules["openvino"]
import openvino.tools.ovc.telemetry_utils as utils
assert utils.tm.__name__.endswith("telemetry_stub")
"""
    in_new_process(tmp_path, program)
    assert list(tmp_path.iterdir()) == []


def test_choice_of_the_program_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    reported: list[int] = []
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: reported.append(1))
    engines.import_onnxruntime()
    assert reported == []
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    engines.import_onnxruntime()
    assert reported == [1]
