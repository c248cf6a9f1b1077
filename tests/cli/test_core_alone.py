"""Every command where nothing but the core is installed: one line that names the extra, before anything is computed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .test_run import write_wav

EXTRAS = (
    "torch",
    "av",
    "cv2",
    "sounddevice",
    "matplotlib",
    "rich",
    "onnx",
    "onnxruntime",
    "safetensors",
    "cryptography",
    "paho",
    "websockets",
)
COMMANDS = {
    "run a.wav": "media",
    "run a.wav --plot a.png": "view",
    "run a.wav --overlay a.mp4": "live,media",
    "run camera:0": "live",
    "run mic:default": "live",
    "record a.wav --output a.eaffrec": "media",
    "models sign --key a.pem": "sign",
    "models import a.t7 --output a.npz": "train",
    "train --smoke edge": "train",
    "evaluate a --corpus a": "train",
    "ablate a --corpus a": "train",
    "export a --output a.eaff": "export",
    "bench --figure a.png": "view",
}
PROGRAM = """
import contextlib, io, json, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
from importlib import util
find = util.find_spec
util.find_spec = lambda name, package=None: None if sys.modules.get(name, name) is None else find(name, package)
from edgeaff.cli.main import main
stated = {}
for command in json.loads(sys.argv[2]):
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        stated[command] = main(command.split()), errors.getvalue()
print(json.dumps(stated))
"""


def test_what_is_not_installed_is_named_with_its_extra(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 0.2)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(EXTRAS), json.dumps(list(COMMANDS))],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    for command, (code, message) in json.loads(done.stdout).items():
        assert (code, message.count("\n")) == (3, 1), (command, message)
        assert f"{COMMANDS[command]}]" in message, (command, message)
