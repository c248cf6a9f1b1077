"""`edgeaff doctor`: one real run, one with nothing but the core installed, and every judgment at its seam."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeaff.bundle import ModelBundle
from edgeaff.cli.doctor import NAMES, engines, machine, privacy
from edgeaff.cli.doctor.finding import Finding, guarded
from edgeaff.cli.main import main
from edgeaff.errors import BackendUnavailableError
from edgeaff.golden import Agreement

from ...conftest import ROOT

CORE_ONLY = """
import importlib.machinery, importlib.metadata, sys

OPTIONAL = ("av", "cv2", "sounddevice", "rich", "matplotlib", "websockets", "paho", "openvino", "onnx", "torch", "tensorrt",
    "tensorrt_rtx", "scipy")

class CoreOnly(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in OPTIONAL else super().find_spec(name, path, target)

sys.meta_path = [CoreOnly if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
real = importlib.metadata.version
def version(name):
    if name not in ("numpy", "onnxruntime", "edgeaff"):
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)

importlib.metadata.version = version
from edgeaff.cli.main import main
sys.exit(main(["doctor", "--json"]))
"""


def level(findings: list[Finding]) -> str:
    (finding,) = findings
    assert (finding.advice == "") == (finding.level == "OK"), finding
    return finding.level


# --- whole runs -----------------------------------------------------------------------------------------------------------------


def test_real_run_names_every_check_and_breaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == 1 and report["level"] in ("OK", "WARN")
    found = report["findings"]
    assert {finding["name"] for finding in found} == set(NAMES) - {"av_offset"}
    assert all(finding["level"] in ("OK", "WARN") and finding["text"] for finding in found)
    assert all(bool(finding["advice"]) == (finding["level"] != "OK") for finding in found)
    engine = next(finding for finding in found if finding["name"] == "engine")
    assert engine["level"] == "OK" and engine["data"]["ccc_reference_valence"] > 0.9999


def test_run_with_nothing_but_the_core(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CORE_ONLY],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["microphone"]["level"] == "WARN" and "edgeaff[live]" in findings["microphone"]["advice"]
    assert findings["privacy"]["level"] == findings["bundle"]["level"] == findings["native"]["level"] == "OK"
    assert "media (media files and network streams)" in findings["packages"]["text"]
    assert list(tmp_path.iterdir()) == []


def test_broken_bundle_is_exit_code_1_with_a_line_that_reports_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.eaff").write_bytes(b"no bundle")
    assert main(["doctor", "--bundle", str(tmp_path / "x.eaff")]) == 1
    lines = capsys.readouterr().out.splitlines()
    index = next(index for index, line in enumerate(lines) if line.startswith("FAIL  bundle"))
    assert "x.eaff" in lines[index] and "-> copy it again." in lines[index + 1]
    assert lines[-1].endswith("FAIL") and not lines[-1].endswith("0 FAIL")
    assert any(line.startswith("WARN  privacy") for line in lines) and not any("itself broke" in line for line in lines)


def test_required_warning_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import edgeaff.cli.doctor as doctor

    monkeypatch.setattr(doctor, "examine", lambda options: [Finding("camera", "WARN", "none found", "plug one in.")])
    assert main(["doctor"]) == 0
    assert main(["doctor", "--require", "camera,microphone"]) == 1
    assert "FAIL  camera" in capsys.readouterr().out
    assert main(["doctor", "--require", "cam"]) == 2
    assert "--require must name checks" in capsys.readouterr().err


def test_check_that_breaks_is_one_failure_and_not_the_end() -> None:
    (finding,) = guarded("disk", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert finding.level == "FAIL" and "ZeroDivisionError" in finding.text


# --- the machine ----------------------------------------------------------------------------------------------------------------


def test_missing_compiled_module_is_a_failure_with_the_command_that_builds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Any:
        raise BackendUnavailableError("edgeaff.ops._C must be built, got: none; run `make dev` in the source folder.")

    monkeypatch.setattr("edgeaff.ops.build_info", absent)
    (finding,) = machine.check_native()
    assert finding.level == "FAIL" and finding.advice == "run `make dev` in the source folder."


@pytest.mark.parametrize(
    ("flags", "used", "expected"),
    [("avx2 fma", "avx2", "OK"), ("avx2 fma", "scalar", "WARN"), ("sse2", "scalar", "WARN"), ("asimd", "neon", "OK")],
)
def test_instruction_set_in_use_is_compared_with_the_processor(
    monkeypatch: pytest.MonkeyPatch, flags: str, used: str, expected: str
) -> None:
    info = {
        "instruction_set_used": used,
        "instruction_sets_built": "scalar avx2 neon",
        "compiler": "GNU",
        "cuda": False,
    }
    monkeypatch.setattr("edgeaff.ops.build_info", lambda: info)
    monkeypatch.setattr(machine, "cpu_flags", lambda: set(flags.split()))
    assert level(machine.check_native()) == expected


def test_flags_are_read_for_both_kinds_of_processor(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor : 0\nflags\t\t: fpu avx2 fma avx512f\n")
    assert machine.best_instruction_set(machine.cpu_flags(str(path))) == "avx2"
    path.write_text("processor : 0\nFeatures\t: fp asimd crc32\n")
    assert machine.best_instruction_set(machine.cpu_flags(str(path))) == "neon"
    assert machine.cpu_flags(str(tmp_path / "none")) == set()


@pytest.mark.parametrize(
    ("cpu", "pids", "expected"),
    [("max 100000", "max", "OK"), ("50000 100000", "max", "WARN"), ("max 100000", "8", "FAIL")],
)
def test_limits_of_a_container_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: str, pids: str, expected: str
) -> None:
    (tmp_path / "cpu.max").write_text(cpu + "\n")
    (tmp_path / "pids.max").write_text(pids + "\n")
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    assert level(machine.check_threads(str(tmp_path))) == expected


def test_quota_of_the_older_control_groups(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("150000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert machine.cpu_quota(tmp_path) == 1.5
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    assert machine.cpu_quota(tmp_path) is None


def test_busy_machine_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (999.0, 0.0, 0.0))
    assert level(machine.check_threads(str(tmp_path))) == "WARN"


def test_little_memory_and_little_disk_are_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 999999 kB\nMemAvailable: 102400 kB\n")
    assert level(machine.check_memory(str(tmp_path / "meminfo"))) == "WARN"
    (tmp_path / "meminfo").write_text("MemAvailable: 1024000 kB\n")
    assert level(machine.check_memory(str(tmp_path / "meminfo"))) == "OK"
    assert level(machine.check_memory(str(tmp_path / "none"))) == "WARN"
    usage = type("Usage", (), {"free": 5 * 2**20})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    assert level(machine.check_disk(str(tmp_path))) == "WARN"


# --- the bundle -----------------------------------------------------------------------------------------------------------------


def test_backend_that_computes_other_numbers_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    import edgeaff.export.certificate as certificate

    monkeypatch.setattr(certificate, "compare", lambda bundle, predictor: Agreement(0.5, 0.5, 1.0, 600))
    findings = engines.check_engines(ModelBundle.load())
    assert {finding.level for finding in findings} == {"FAIL"} and "must be at least" in findings[0].text


def test_absent_backend_is_a_failure_only_where_it_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    import edgeaff.export.certificate as certificate

    def absent(bundle: Any, backends: Any) -> Any:
        return [], dict.fromkeys(backends, "it must be installed, got none; run `pip install it`.")

    monkeypatch.setattr(certificate, "certify_available", absent)
    bundle = ModelBundle.load()
    levels = {finding.text.split()[0].rstrip(":"): finding.level for finding in engines.check_engines(bundle)}
    assert levels[bundle.manifest.default_backend] == "FAIL" and levels["openvino"] == "OK"


def test_other_versions_than_at_certification_are_named() -> None:
    bundle = ModelBundle.load()
    known = next(item for item in bundle.manifest.certificates if item["backend"] == "onnxruntime")
    assert engines.engine_differences(bundle, known) == []
    older = {**known, "versions": {**known["versions"], "onnxruntime": "1.20.0"}}
    assert engines.engine_differences(bundle, older) == [
        f"onnxruntime {known['versions']['onnxruntime']} (here 1.20.0)"
    ]


# --- privacy --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["socket", "file"])
def test_privacy_check_sees_what_a_session_must_not_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, act: str
) -> None:
    def misbehave(bundle: Any) -> int:
        if act == "file":
            (tmp_path / "left.txt").write_text("a frame")
            return 0
        import socket

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            opened.bind(("127.0.0.1", 0))
        return 0

    monkeypatch.setattr(privacy, "_run_session", misbehave)
    (finding,) = privacy.check_privacy(None)
    assert finding.level == "FAIL" and ("socket." in finding.text or "left.txt" in finding.text)
    with privacy.Watch() as watch:
        pass
    (tmp_path / "after.txt").write_text("not watched")
    assert watch.seen == []


def test_telemetry_that_somebody_switched_on_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "_run_session", lambda bundle: 1)
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    assert level(privacy.check_privacy(None)) == "WARN"
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    assert level(privacy.check_privacy(None)) == "OK"
