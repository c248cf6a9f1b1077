"""PortAudio is looked up by its file name: no compiler is started, whether it is installed or not."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import ctypes, sys
started = []
sys.addaudithook(lambda event, arguments: started.append(event) if event in ("subprocess.Popen", "os.posix_spawn", "os.exec") else None)
{prepare}
from edgeaff.capture.microphone import import_audiodevice
from edgeaff.errors import BackendUnavailableError
try:
    print(import_audiodevice().name)
except BackendUnavailableError as error:
    print(error)
print(started, ctypes.util.find_library.__module__)
"""
MODULE = """
import ctypes.util
name = ctypes.util.find_library("portaudio") or ctypes.util.find_library("lib/libportaudio.dylib")
if name is None:
    raise OSError("PortAudio library not found")
"""
PRESENT = "ctypes.CDLL = lambda name, **options: name"
ABSENT = """
def absent(name, **options):
    raise OSError(f"{name}: cannot open shared object file")
ctypes.CDLL = absent
"""


@pytest.mark.parametrize(
    ("prepare", "printed"), [(PRESENT, "libportaudio.so.2"), (ABSENT, "apt install libportaudio2")]
)
def test_import_audiodevice_starts_no_compiler(tmp_path: Path, root: Path, prepare: str, printed: str) -> None:
    (tmp_path / "sounddevice.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(prepare=prepare)],
        env={"PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    first, second = done.stdout.splitlines()
    assert printed in first, done.stderr
    assert second == "[] ctypes.util"


def test_import_audiodevice_names_the_extra_when_the_package_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeaff.capture.microphone import import_audiodevice
    from edgeaff.errors import BackendUnavailableError

    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(BackendUnavailableError, match=r"edgeaff\[live\]"):
        import_audiodevice()
