"""RTSP and MPEG-TS from GStreamer, and a clap and flash as MPEG-TS over UDP and TCP, on the loopback."""

import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgeaff.capture.health import Health
from edgeaff.capture.network import NetworkStream
from edgeaff.capture.open import open_source
from edgeaff.types import AudioChunk, VideoFrame
from tests.media_maker import TRANSPORT_STREAM, clap_and_flash, frame_times, note_clap_or_flash, write_clip
from tests.system.conftest import find_program, free_port, stop
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.needs_media]


class GstSender:
    """sender.py or ts_server.py in its own process."""

    def __init__(self, script, uri):
        self.script, self.port = script, free_port()
        self.uri = uri.format(port=self.port)
        self.start()

    def start(self):
        script = Path(__file__).parent / self.script
        self.process = subprocess.Popen(
            [find_program("/usr/bin/python3"), str(script), str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline().strip() == "ready"

    def kill(self):
        stop(self.process)
        self.process.stdout.close()


@pytest.fixture(params=["rtsp", "tcp"])
def sender(request):
    addresses = {
        "rtsp": ("rtsp_server.py", "rtsp://127.0.0.1:{port}/live"),
        "tcp": ("ts_server.py", "tcp://127.0.0.1:{port}"),
    }
    sender = GstSender(*addresses[request.param])
    yield sender
    sender.kill()


def read(source, seconds):
    units, ages, end = [], [], time.monotonic() + seconds
    while time.monotonic() < end:
        unit = source.take(0.2)
        if unit is not None:
            units.append(unit)
            ages.append((time.monotonic_ns() - unit.pts_ns) / 1e9)
    return units, ages


def test_stream_gives_frame_and_audio_on_our_clock(sender):
    with open_source(sender.uri) as source:
        read(source, 1.0)
        units, ages = read(source, 5.0)
        counts = source.counts
    frames = [unit.pts_ns for unit in units if isinstance(unit, VideoFrame)]
    chunks = [unit for unit in units if isinstance(unit, AudioChunk)]
    # Measured on a free machine: 4.96 to 5.00 s of 125 or 126 frames. Audio comes in frames of AAC of 0.128 s: 38 to 40 of them fall into
    # five seconds and the 0.04 s until the last frame; the clock agrees with it to 0.2 ms.
    assert (frames[-1] - frames[0]) / 1e9 == pytest.approx(5.0, abs=0.12) and len(frames) == pytest.approx(125, abs=3)
    assert all(np.diff(frames) > 0) and np.median(np.diff(frames)) / 1e6 == pytest.approx(40, abs=0.5)
    heard = sum(chunk.samples.size for chunk in chunks) / chunks[0].sample_rate_hz
    end = chunks[-1].pts_ns / 1e9 + chunks[-1].samples.size / chunks[-1].sample_rate_hz
    assert heard == pytest.approx(5.0, abs=0.17) and heard == pytest.approx(end - chunks[0].pts_ns / 1e9, abs=0.01)
    assert 0.0 < np.median(ages) < 0.25  # measured: 0.05 (TCP), 0.17 (RTSP)
    assert counts["reconnects"] == 0


def test_sender_that_dies_and_returns_is_found_again(sender):
    with NetworkStream(sender.uri, read_seconds=1.0) as source:
        assert source.take(5.0) is not None
        sender.kill()
        wait_until(lambda: (source.take(0), source.health().state is Health.LOST)[1], 10.0, "loss of the stream")
        sender.start()
        returned = time.monotonic()
        wait_until(lambda: source.take(0.1) is not None and source.health().state is Health.OK, 10.0, "recovery")
        assert time.monotonic() - returned < 5.0  # opening takes 1.1 s, the opening burst 0.3 s, the back-off up to 1 s


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_stream_keeps_clap_and_flash_together(tmp_path, scheme):
    times = frame_times(25, 8)
    frames, samples, _ = clap_and_flash(times, sample_rate_hz=48_000)
    path = write_clip(tmp_path / "clip.ts", frames=frames, times=times, samples=samples, **TRANSPORT_STREAM)
    flashes, claps = [], []
    with (
        sending(scheme, path.read_bytes(), 8.0) as port,
        NetworkStream(f"{scheme}://127.0.0.1:{port}", max_frames=10) as source,
    ):
        end = time.monotonic() + 7.0
        while time.monotonic() < end:
            unit = source.take(0.2)
            note_clap_or_flash(unit, flashes, claps)
    assert len(flashes) >= 3
    nearest = [min(claps, key=lambda clap: abs(clap - flash)) - flash for flash in flashes]
    assert np.abs(nearest).max() < 25e6


@contextmanager
def sending(scheme, data, seconds):
    """Sends a transport stream in real time, seven packets at a time, to the port that this gives."""
    port = free_port(socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM)
    listening = socket.create_server(("127.0.0.1", port)) if scheme == "tcp" else None

    def work():
        with listening.accept()[0] if listening else socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            step, started = 188 * 7, time.monotonic()
            for first in range(0, len(data), step):
                time.sleep(max(0.0, started + seconds * first / len(data) - time.monotonic()))
                part = data[first : first + step]
                try:
                    connection.sendall(part) if listening else connection.sendto(part, ("127.0.0.1", port))
                except ConnectionError:  # the reader has closed
                    return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield port
    thread.join(3.0)
    if listening:
        listening.close()
