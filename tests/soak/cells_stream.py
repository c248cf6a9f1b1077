"""The fault matrix, network streams; and the suspended process, which is its own process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import edgeaff
from edgeaff.capture.network import NetworkStream
from tests.soak.cells_device import make_camera, make_microphone, raising_callback, slow_reader
from tests.soak.rig import Rig, RtspServer, UdpSender
from tests.soak.trial import Cell, Failure, Trial, bundle, running

SUSPENDED_SECONDS = 5.0


@contextmanager
def rtsp() -> Iterator[RtspServer]:
    """Yields a server that runs."""
    server = RtspServer()
    try:
        yield server
    finally:
        server.kill()


def stream_lost(rig: Rig) -> float:
    """The server dies and is started again."""
    with (
        rtsp() as server,
        running(Trial(edgeaff.Runtime(bundle(), video=NetworkStream(server.uri)), "video", "audio")) as trial,
    ):
        server.kill()
        trial.expect("lost", "stream")
        trial.follow(1.0)
        server.start()
        return trial.recover("lost", "stream")


def stream_stalled(rig: Rig) -> float:
    """The server stands still for 1.5 s and goes on."""
    with (
        rtsp() as server,
        running(Trial(edgeaff.Runtime(bundle(), video=NetworkStream(server.uri)), "video", "audio")) as trial,
    ):
        server.process.send_signal(signal.SIGSTOP)
        try:
            trial.expect("stalled", "stream")
        finally:
            server.process.send_signal(signal.SIGCONT)
        return trial.recover("stalled", "stream")


def stream_garbage(rig: Rig) -> float:
    """Half of the datagrams carry noise for two seconds."""
    sender = UdpSender(rig.transport_stream(), 20.0)
    try:
        with running(Trial(edgeaff.Runtime(bundle(), video=NetworkStream(sender.uri)), "video", "audio")) as trial:
            sender.damage = True
            trial.expect("corrupt_input", "stream", 4.0)
            trial.follow(1.0)
            sender.damage = False
            return trial.recover("corrupt_input", "stream")
    finally:
        sender.close()


def with_server(make: Cell | None, kind: str) -> Cell:
    """Returns a cell of a user who is slow or fails while a stream is read."""

    def cell(rig: Rig) -> float:
        with rtsp() as server:
            chosen = slow_reader if kind == "slow" else raising_callback
            return chosen(lambda rig: NetworkStream(server.uri), "video+audio")(rig)

    return cell


def suspended(name: str) -> Cell:
    """Returns the cell of a process that is stopped for five seconds; it runs `python -m tests.soak.suspended`."""

    def cell(rig: Rig) -> float:
        if name != "stream":
            return _suspend(name, "")
        with rtsp() as server:
            return _suspend(name, server.uri)

    return cell


def _suspend(name: str, uri: str) -> float:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.suspended", name, uri], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    watchdog = threading.Timer(45.0, child.kill)  # ends the waiting for its answers
    watchdog.start()
    try:
        if child.stdout.readline().strip() != "well":
            raise Failure("the child did not start")
        child.send_signal(signal.SIGSTOP)
        time.sleep(SUSPENDED_SECONDS)
        child.send_signal(signal.SIGCONT)
        resumed = time.monotonic()
        if child.stdout.readline().strip() != "well":
            raise Failure("the child did not recover")
        recovery = time.monotonic() - resumed
        found = json.loads(child.stdout.readline() or "{}")
        if child.wait(10.0) != 0 or found.get("failure", "no answer"):
            raise Failure(found.get("failure", f"exit code {child.returncode}"))
        return recovery
    finally:
        watchdog.cancel()
        child.kill()
        child.wait(5.0)
        child.stdout.close()


CELLS: dict[str, Cell] = {
    "lost/stream": stream_lost,
    "stalled/stream": stream_stalled,
    "garbage/stream": stream_garbage,
    "slow consumer/stream": with_server(None, "slow"),
    "raising callback/stream": with_server(None, "raising"),
    "suspended 5 s/camera": suspended("camera"),
    "suspended 5 s/mic": suspended("mic"),
    "suspended 5 s/stream": suspended("stream"),
}
MAKERS = {
    "camera": lambda uri: {"video": make_camera(None)},  # type: ignore[arg-type]
    "mic": lambda uri: {"audio": make_microphone(None)},  # type: ignore[arg-type]
    "stream": lambda uri: {"video": NetworkStream(uri)},
}
