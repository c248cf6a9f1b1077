"""Every example runs as a user runs it, on a clip that the project makes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NOT_ALONE = {"demo.py", "demo_clip.py"}  # what make demo runs, and the clip it makes: no examples of the interface


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the demo's clip: twelve seconds of a face and a voice."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        from demo_clip import write_clip
    finally:
        sys.path.remove(str(EXAMPLES))
    path = tmp_path_factory.mktemp("examples") / "clip.mp4"
    write_clip(path)
    return path


def run(name: str, *arguments: object) -> str:
    """Returns the output of an example; it must exit with 0."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs_media
def test_live_camera_prints_a_line_a_second(clip: Path):
    stated = run("live_camera.py", "--video", clip)
    assert "A face is seen" in stated
    assert stated.count(" s  ") >= 11
    assert "valence" in stated


@pytest.mark.needs_media
def test_file_to_csv_writes_every_tick(clip: Path, tmp_path: Path):
    stated = run("file_to_csv.py", clip, tmp_path / "clip.csv")
    assert "mean valence" in stated
    lines = (tmp_path / "clip.csv").read_text(encoding="utf-8").splitlines()
    assert 360 <= len(lines) - 1 <= 362  # some decoders give the padding of AAC too


@pytest.mark.needs_media
def test_firmware_push_shows_values(clip: Path):
    stated = run("firmware_push.py", clip, "--speed", 4)
    assert "inputs dropped" in stated
    assert any("valence 0." in line or "valence -0." in line for line in stated.splitlines())
    assert (
        sum(line.split()[2] == "OK" for line in stated.splitlines() if " valence " in line) > 10
    )  # both modalities arrive


@pytest.mark.needs_media
def test_multi_face_finds_the_one_face(clip: Path):
    stated = run("multi_face.py", clip)
    assert stated.endswith("1 faces\n")
    assert "mean valence +0" in stated or "mean valence -0" in stated


@pytest.mark.needs_media
@pytest.mark.needs_onnx
@pytest.mark.needs_torch
def test_train_synthetic_learns_and_its_export_verifies(tmp_path: Path):
    stated = run("train_synthetic.py", tmp_path, "--epochs", 2)
    measured = json.loads(stated.splitlines()[-1])
    assert measured["system"] == "edge"
    assert measured["ccc_valence"] > 0.1
    stated = run("export_and_verify.py", tmp_path / "run", tmp_path / "toy.eaff")
    assert "largest difference" in stated
    assert " runs on " in stated


def test_every_example_is_short_and_tested():
    tested = Path(__file__).read_text(encoding="utf-8")
    for path in sorted(EXAMPLES.glob("*.py")):
        if path.name not in NOT_ALONE:
            assert f'run("{path.name}"' in tested, f"{path.name} is run by no test"
            lines = path.read_text(encoding="utf-8").split('"""', 2)[2].count("\n")
            assert lines < 60, f"{path.name} has {lines} lines without its head; an example has fewer than 60"


@pytest.mark.parametrize(("source", "read"), [("camera:0", "camera:0"), ("clip.mp4", "paced:clip.mp4?loop=1")])
def test_demo_live_plays_a_file_again_and_again(monkeypatch, tmp_path, source, read):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").touch()
    demo = importlib.import_module("demo")
    asked = []
    monkeypatch.setattr(demo, "edgeaff_command", lambda arguments: asked.append(arguments) or 0)
    assert demo.show(source, "9478") == 0
    assert asked == [["run", read, "--live", "9478"]]
