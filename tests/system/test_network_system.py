"""RTSP from GStreamer and MPEG-TS over UDP, on the loopback."""

import socket
import subprocess
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edgeaff.capture.health import Health
from edgeaff.capture.network import NetworkStream
from edgeaff.capture.source import open_source
from edgeaff.types import AudioChunk, VideoFrame
from tests.media_maker import clap_and_flash, frame_times, write_clip
from tests.system.conftest import find_program, free_port, stop, wait_for

pytestmark = [pytest.mark.system, pytest.mark.needs_media]


class RtspServer:
    def __init__(self):
        self.port = free_port()
        self.uri = f"rtsp://127.0.0.1:{self.port}/live"
        self.start()

    def start(self):
        script = Path(__file__).parent / "rtsp_server.py"
        self.process = subprocess.Popen(
            [find_program("/usr/bin/python3"), str(script), str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline().strip() == "ready"

    def kill(self):
        stop(self.process)
        self.process.stdout.close()


@pytest.fixture
def rtsp_server():
    server = RtspServer()
    yield server
    server.kill()


def read(source, seconds):
    units, ages, end = [], [], time.monotonic() + seconds
    while time.monotonic() < end:
        unit = source.take(0.2)
        if unit is not None:
            units.append(unit)
            ages.append((time.monotonic_ns() - unit.pts_ns) / 1e9)
    return units, ages


def test_rtsp_gives_picture_and_sound_on_our_clock(rtsp_server):
    with open_source(rtsp_server.uri) as source:
        read(source, 1.0)
        units, ages = read(source, 5.0)
        counts = source.counts
    frames = [unit.pts_ns for unit in units if isinstance(unit, VideoFrame)]
    chunks = [unit for unit in units if isinstance(unit, AudioChunk)]
    assert 110 <= len(frames) <= 135 and all(np.diff(frames) > 0)
    assert np.median(np.diff(frames)) / 1e6 == pytest.approx(40, abs=2)
    heard = sum(chunk.samples.size for chunk in chunks) / chunks[0].sample_rate_hz
    assert heard == pytest.approx(5.0, abs=0.3)
    assert -0.05 < np.median(ages) < 0.3
    assert counts["reconnects"] == 0


def test_rtsp_server_that_dies_and_returns_is_found_again(rtsp_server):
    with NetworkStream(rtsp_server.uri, read_seconds=1.0) as source:
        assert source.take(5.0) is not None
        rtsp_server.kill()
        wait_for(lambda: (source.take(0), source.health().state is Health.LOST)[1], 10.0, "loss of the stream")
        rtsp_server.start()
        returned = time.monotonic()
        wait_for(lambda: source.take(0.1) is not None and source.health().state is Health.OK, 10.0, "recovery")
        assert time.monotonic() - returned < 5.0  # opening takes 1.1 s, the opening burst 0.3 s, the back-off up to 1 s


def test_udp_stream_keeps_clap_and_flash_together(tmp_path):
    times = frame_times(25, 8)
    frames, samples, _ = clap_and_flash(times, sample_rate_hz=48_000)
    path = write_clip(
        tmp_path / "clip.ts",
        frames=frames,
        times=times,
        samples=samples,
        video_codec="mpeg2video",
        pix_fmt="yuv420p",
        time_base=Fraction(1, 25),
        audio_codec="mp2",
    )
    port = free_port(socket.SOCK_DGRAM)
    sender = threading.Thread(target=send_udp, args=(path.read_bytes(), 8.0, port), daemon=True)
    sender.start()
    flashes, claps = [], []
    with NetworkStream(f"udp://127.0.0.1:{port}", max_frames=10) as source:
        end = time.monotonic() + 7.0
        while time.monotonic() < end:
            unit = source.take(0.2)
            if isinstance(unit, VideoFrame) and unit.image.mean() > 128:
                flashes.append(unit.pts_ns)
            elif isinstance(unit, AudioChunk):
                loud = np.flatnonzero(np.abs(unit.samples.astype(float)) > 0.05 * 32_768)
                if loud.size and (not claps or unit.pts_ns > claps[-1] + 3e8):
                    claps.append(unit.pts_ns + loud[0] / unit.sample_rate_hz * 1e9)
    sender.join(3.0)
    assert len(flashes) >= 3
    nearest = [min(claps, key=lambda clap: abs(clap - flash)) - flash for flash in flashes]
    assert np.abs(nearest).max() < 25e6


def send_udp(data, seconds, port):
    """Sends a transport stream in real time, seven packets a datagram."""
    step, started = 188 * 7, time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for first in range(0, len(data), step):
            time.sleep(max(0.0, started + seconds * first / len(data) - time.monotonic()))
            sender.sendto(data[first : first + step], ("127.0.0.1", port))
