"""The command line as a process: closed streams, names that cannot be printed, users without a home, Ctrl-C at any instant."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import pytest

from edgeaff.backends.tensorrt_build import Engine, EngineCache
from edgeaff.cli import process
from edgeaff.cli.doctor.gpu import read_engines
from edgeaff.cli.main import main

EDGEAFF = f"{sys.executable} -m edgeaff"
CLOSINGS = ["<&-", ">&-", "2>&-"]


def write_audio(path: Path | str, seconds: float = 0.5) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(int(seconds * 32_000)))


@pytest.fixture
def shell(tmp_path: Path, root: Path):
    """Runs a line of bash in a new folder with a.wav."""
    write_audio(tmp_path / "a.wav")

    def run(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.mark.needs_media
@pytest.mark.parametrize("closed", [CLOSINGS[1:2], CLOSINGS[2:], CLOSINGS], ids=" ".join)
def test_run_is_done_with_closed_streams(shell, tmp_path: Path, closed: list[str]) -> None:
    assert shell(f"{EDGEAFF} run a.wav --output e.jsonl {' '.join(closed)}").returncode == 0
    lines = (tmp_path / "e.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 15 and all(line.startswith("{") and line.endswith("}") for line in lines)


PREPARED = """
import os, sys
from edgeaff.cli import process
process.prepare(None)
assert [os.get_inheritable(number) for number in range(3)] == [True] * 3
print("out"); print("err", file=sys.stderr); sys.stdout.flush()
process.print_message("message")
os._exit(0 if os.open(os.devnull, os.O_RDONLY) > 2 else 1)
"""


@pytest.mark.parametrize(
    "closed", [list(some) for count in range(4) for some in itertools.combinations(CLOSINGS, count)], ids=" ".join
)
def test_no_file_that_is_opened_takes_the_place_of_a_closed_stream(shell, tmp_path: Path, closed: list[str]) -> None:
    (tmp_path / "p.py").write_text(PREPARED)
    assert shell(f"{sys.executable} p.py {' '.join(closed)}").returncode == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"{EDGEAFF} --version > /dev/full", 3),
        (f"{EDGEAFF} models list > /dev/full", 3),
        (f"{EDGEAFF} models list 2> /dev/full | cat > /dev/null", 0),
        (f"{EDGEAFF} run nothing.mp4 2> /dev/full", 3),
        (f"{{ {EDGEAFF} models list; echo $? > code; }} | true; exit $(cat code)", 0),
    ],
)
def test_stream_that_takes_nothing_gives_a_code_and_no_traceback(shell, line: str, code: int) -> None:
    done = shell(line)
    assert (done.returncode, "Traceback" in done.stderr, "Exception ignored" in done.stderr) == (code, False, False)


@pytest.mark.needs_media
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_the_terminal_cannot_show_are_escaped(shell, tmp_path: Path, encoding: str) -> None:
    name = os.fsdecode(b"\xd0\xb6\xff.wav")
    write_audio(os.path.join(tmp_path, name))
    done = shell(f"{EDGEAFF} run $'\\xd0\\xb6\\xff.wav' --output $'e\\xff.jsonl'", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "15 events" in done.stdout and "Traceback" not in done.stderr


def test_engine_cache_of_a_user_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    cache = EngineCache()
    cache.put("key", Engine(b"plan", {}))
    assert cache.folder is None and cache.get("key") is None and read_engines(cache.folder) == []


# --- interruption ---------------------------------------------------------------------------------------------------------------


def test_interruption_while_starting_ends_with_code_130_and_one_line(root: Path, tmp_path: Path) -> None:
    # the stand-in for a module that is slow to load signals its own process
    (tmp_path / "numpy.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)\n")
    (tmp_path / "argparse.py").write_text((tmp_path / "numpy.py").read_text())
    for shadowed in ("argparse", "numpy"):
        folder = tmp_path / shadowed
        folder.mkdir()
        (tmp_path / f"{shadowed}.py").rename(folder / f"{shadowed}.py")
        done = subprocess.run(
            [sys.executable, "-m", "edgeaff", "run", "a.wav"],
            env={"PYTHONPATH": f"{folder}:{root}"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 130
        assert done.stderr.startswith("edgeaff: interrupted") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("error", [ImportError("initialization failed"), RuntimeError("cannot release"), OSError("x")])
def test_error_that_an_interruption_turned_into_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def lost(options: object) -> int:
        raise error

    monkeypatch.setattr("edgeaff.cli.models.run", lost)
    monkeypatch.setattr(process.interruption, "_at", time.monotonic())
    assert main(["models", "list"]) == 130
    assert capsys.readouterr().err == "edgeaff: interrupted.\n"


def test_only_the_first_signal_interrupts_and_a_late_ctrl_c_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    now = [0.0]
    monkeypatch.setattr(process.os, "_exit", ended.append)
    monkeypatch.setattr(process.time, "monotonic", lambda: now[0])
    handler = process.Interruption()
    with pytest.raises(KeyboardInterrupt):
        handler(signal.SIGTERM, None)
    handler(signal.SIGINT, None)
    now[0] = 10.0
    handler(signal.SIGTERM, None)
    assert ended == []
    handler(signal.SIGINT, None)
    assert ended == [130]


DESTRUCTOR = """
import os, signal, sys, time
from edgeaff.cli import main as command, models, process

class Slow:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100):
            time.sleep(0.001)

def run(options):
    Slow()
    time.sleep(20)

models.run = run
signal.signal(signal.SIGINT, process.prepare)
process.prepare(process.prepare)
process.finish(command.main(["models", "list"]))
"""


def test_interruption_inside_a_destructor_is_not_lost(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DESTRUCTOR], env={"PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (130, "edgeaff: interrupted.\n")


def test_ctrl_c_that_the_shell_ignores_stays_ignored(shell) -> None:
    done = shell(
        f"trap '' INT; {sys.executable} -c \"import signal, sys; from edgeaff import __main__ as m; "
        'from edgeaff.cli import main; main.main = lambda: int(signal.getsignal(signal.SIGINT) != signal.SIG_IGN); m.entry()"'
    )
    assert done.returncode == 0
