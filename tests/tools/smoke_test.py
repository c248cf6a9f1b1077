"""Smoke test of an installed wheel, run from a folder without the sources; prints what it found, fails loudly."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

HEAVY = {"torch", "cv2", "onnxruntime", "tensorrt", "tensorrt_rtx", "av", "matplotlib"}
IMPORT_LIMIT_SECONDS = 0.2


def check_import() -> None:
    """`import edgeaff` loads nothing heavy and takes less than 0.2 s (best of five, compiled files written by the first)."""
    code = "import time; t = time.perf_counter(); import edgeaff; s = time.perf_counter() - t; import sys; print(s, *sorted(sys.modules))"
    seconds = []
    for _ in range(5):
        words = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        seconds.append(float(words[0]))
        loaded = HEAVY & set(words[1:])
        assert not loaded, f"import edgeaff must load no {', '.join(sorted(HEAVY))}, got {loaded}"
    assert min(seconds) < IMPORT_LIMIT_SECONDS, (
        f"import edgeaff must take < {IMPORT_LIMIT_SECONDS} s, got {min(seconds):.3f}"
    )
    print(f"import edgeaff: {min(seconds) * 1000:.0f} ms")


def check_run(folder: Path) -> None:
    """The installed command and the Session give the same events for an audio file."""
    import numpy as np

    import edgeaff

    rate = 16_000
    seconds = np.arange(3 * rate) / rate
    samples = (8000 * np.sin(2 * np.pi * 180 * seconds) * (1 + np.sin(2 * np.pi * 3 * seconds))).astype(np.int16)
    path = folder / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    table = edgeaff.analyze(path)
    assert len(table) == 90, f"3 s of audio must give 90 events, got {len(table)}"
    output = folder / "events.jsonl"
    command = Path(sys.executable).parent / "edgeaff"
    subprocess.run([str(command), "run", str(path), "--output", str(output), "--quiet"], check=True)
    assert len(output.read_text().splitlines()) == 90
    session = edgeaff.Session()
    image = np.full((240, 320, 3), 128, np.uint8)
    events = [event for index in range(30) for event in session.push_frame(image, pts_ns=index * 33_333_333)]
    assert len(events) + len(session.finish()) == 30
    print(
        f"analyze, edgeaff run and Session: ok ({table.events[-1].backend}; {edgeaff.ModelBundle.load().manifest.model_id})"
    )


def check_clip(folder: Path) -> None:
    """A clip runs through the face networks in an environment that has NumPy and PyAV, and no engine for ONNX files."""
    import importlib.util

    import av
    import numpy as np

    import edgeaff
    from edgeaff.errors import BackendUnavailableError

    assert importlib.util.find_spec("onnxruntime") is None, "this environment must have no onnxruntime"
    path = folder / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        rng = np.random.default_rng(0)
        for index in range(30):
            image = np.roll(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8), index, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    table = edgeaff.analyze(path)
    assert len(table) == 30, f"30 frames must give 30 events, got {len(table)}"
    try:
        edgeaff.Session(backend="onnxruntime")
    except BackendUnavailableError as error:
        assert "edgeaff[onnxruntime]" in str(error)
    else:
        raise AssertionError("a backend that is not installed must be an error")
    print("a clip without any engine: ok")


def check_doctor() -> None:
    """`edgeaff doctor` finds nothing broken in an environment with little more than the core."""
    command = [str(Path(sys.executable).parent / "edgeaff"), "doctor", "--json", "--require", "native,engine,privacy"]
    done = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert done.returncode == 0, [finding for finding in report["findings"] if finding["level"] == "FAIL"]
    print(f"edgeaff doctor: {report['level']}, {len(report['findings'])} findings")


if __name__ == "__main__":
    import edgeaff.ops

    print(edgeaff.ops.build_info())
    check_import()
    check_doctor()
    with tempfile.TemporaryDirectory() as temporary:
        check_run(Path(temporary))
        check_clip(Path(temporary))
