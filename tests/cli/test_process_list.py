"""The command line that the system shows of a running command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SECRET = "hunter2"
URIS = (
    f"rtsp://user:{SECRET}@127.0.0.1:1/cam",
    f"--output=mqtt://u:{SECRET}@host/topic",
    f"gst:rtspsrc user-pw={SECRET} ! appsink",
    f"u:{SECRET}@x",
    f"--serve=9477?token={SECRET}",
)


def shown_by(code: str, *arguments: str) -> list[str]:
    """Returns the arguments of a process after it has run some code."""
    command = [sys.executable, "-c", f"{code}\nprint(flush=True)\ninput()", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(10) == 0
    return shown.decode().rstrip("\0").split("\0")[3:]


def test_secrets_are_not_shown() -> None:
    code = (
        "import sys\nfrom edgeaff.cli.process_list import hide_secrets\nbefore = list(sys.argv)\n"
        "assert hide_secrets() and hide_secrets() and sys.argv == before"
    )
    plain = ("run", "clip.mp4", "--quiet", "é.mp4", "", "camera:0?fps=30")
    shown = shown_by(code, *plain, *URIS, "last")
    assert [text.rstrip() for text in shown] == [
        *plain,
        "rtsp://***@127.0.0.1:1/cam",
        "--output=mqtt://***@host/topic",
        "gst:rtspsrc *** ! appsink",
        "***@x",
        "--serve=9477?token=***",
        "last",
    ]


def test_command_hides_its_secrets_before_anything_else() -> None:
    code = "import edgeaff.cli.main as m, edgeaff.__main__ as e\nm.main = lambda: 0\ntry:\n    e.entry()\nexcept SystemExit:\n    pass"
    assert not any(SECRET in text for text in shown_by(code, *URIS))
