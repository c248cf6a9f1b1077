"""NetworkStream over the loopback: a thread sends an MPEG-TS file in real time, as a camera would."""

import socket
import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from edgeaff.capture.health import Health
from edgeaff.capture.network import NetworkStream
from edgeaff.capture.paced import PacedFile
from edgeaff.errors import ArgumentError, DeviceError
from edgeaff.types import VideoFrame
from tests.capture.test_live import wait_until
from tests.media_maker import TRANSPORT_STREAM, clap_and_flash, frame_times, note_clap_or_flash, write_clip

pytestmark = pytest.mark.needs_media


class TsServer:
    """Serves a file over TCP at the rate of its duration, to one client after the other."""

    def __init__(self, path, seconds):
        self._data, self._seconds = path.read_bytes(), seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self.uri = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        self._listener.settimeout(0.1)
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            with client:
                self._send(client)

    def _send(self, client):
        started, step = time.monotonic(), 188 * 7
        try:
            for first in range(0, len(self._data), step):
                due = started + self._seconds * first / len(self._data)
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                client.sendall(self._data[first : first + step])
        except OSError:
            return

    def close(self):
        self._stop.set()
        self._thread.join(2.0)
        self._listener.close()


@pytest.fixture(scope="module")
def ts_clip(tmp_path_factory):
    times = frame_times(25, 4)
    frames, samples, claps = clap_and_flash(times, sample_rate_hz=48_000)
    path = write_clip(
        tmp_path_factory.mktemp("ts") / "clip.ts", frames=frames, times=times, samples=samples, **TRANSPORT_STREAM
    )
    return path, claps


def test_stream_keeps_the_offset_of_frame_and_audio_and_is_on_our_clock(ts_clip):
    path, _ = ts_clip
    server = TsServer(path, seconds=4.0)
    flashes, claps, ages = [], [], []
    try:
        with NetworkStream(server.uri, max_frames=10, reconnect=False) as source:
            for unit in source:
                ages.append((time.monotonic_ns() - unit.pts_ns) / 1e9)
                note_clap_or_flash(unit, flashes, claps)
    finally:
        server.close()
    assert len(flashes) >= 3 and len(claps) >= len(flashes)
    nearest = [min(claps, key=lambda clap: abs(clap - flash)) - flash for flash in flashes]
    assert np.abs(nearest).max() < 25e6  # MP2 pads its start by 10 ms
    assert 0 <= np.median(ages) < 0.3


def test_server_that_goes_and_comes_back_is_found_again(ts_clip):
    path, _ = ts_clip
    server = TsServer(path, seconds=4.0)
    try:
        with NetworkStream(server.uri, max_frames=3, read_seconds=0.5) as source:
            assert source.take(3.0) is not None
            wait_until(lambda: (source.take(0.05) is not None or True) and source.counts["reconnects"] >= 1, 8.0)
            wait_until(lambda: source.take(0.1) is not None and source.health().state is Health.OK, 8.0)
    finally:
        server.close()


def test_address_where_nobody_listens_is_an_error_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(DeviceError, match=f"tcp://127.0.0.1:{port} must be an open stream.*is it sending"):
        NetworkStream(f"tcp://127.0.0.1:{port}").start()
    assert time.monotonic() - started < 2.0


def test_silent_server_is_given_up_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = time.monotonic()
        with pytest.raises(DeviceError, match="open stream"):
            NetworkStream(f"tcp://127.0.0.1:{listener.getsockname()[1]}", open_seconds=0.5).start()
        assert time.monotonic() - started < 3.0


def test_paced_file_plays_at_its_own_speed_on_the_monotonic_clock(tmp_path):
    times = frame_times(25, 2)
    frames, samples, _ = clap_and_flash(times, sample_rate_hz=16_000)
    path = write_clip(tmp_path / "c.mov", frames=frames, times=times, samples=samples, sample_rate_hz=16_000)
    started = time.monotonic_ns()
    with PacedFile(path, speed=4.0, max_frames=100) as source:
        units = list(source)
    seconds = (time.monotonic_ns() - started) / 1e9
    images = [unit.pts_ns for unit in units if isinstance(unit, VideoFrame)]
    assert len(images) == 50 and 0.5 < seconds < 1.5
    np.testing.assert_allclose(np.diff(images), 1e7, atol=2)
    assert started < images[0] < started + 1e9


def test_paced_file_loops_without_a_gap(tmp_path):
    path = write_clip(tmp_path / "s.wav", samples=np.zeros(1_600, np.float32), sample_rate_hz=16_000)
    with PacedFile(path, loop=True, speed=2.0) as source:
        chunks = [source.take(3.0) for _ in range(40)]
    starts = np.array([chunk.pts_ns for chunk in chunks])
    lengths = np.array([chunk.samples.size for chunk in chunks[:-1]]) / 16_000 * 1e9 / 2
    np.testing.assert_allclose(np.diff(starts), lengths, atol=2)
    for speed in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="speed must be positive"):
            PacedFile(path, speed=speed)


def test_a_peer_that_sends_a_playlist_gets_no_file_of_this_machine(ts_clip, tmp_path):
    path, _ = ts_clip
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{path}\n#EXT-X-ENDLIST\n" + "#\n" * 4_000
    )
    server = TsServer(playlist, seconds=0.1)
    try:
        with pytest.raises(DeviceError, match="must be an open stream"):
            NetworkStream(server.uri, reconnect=False).start()
    finally:
        server.close()


def test_a_stream_whose_pixels_are_not_square_is_shown_square(tmp_path):
    import av

    path = tmp_path / "clip.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, width=96, height=96, pix_fmt="yuv420p")
        stream.codec_context.sample_aspect_ratio = Fraction(16, 9)
        for pts in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((96, 96, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    server = TsServer(path, seconds=3.0)
    try:
        with NetworkStream(server.uri, audio=False, reconnect=False) as source:
            unit = source.take(5.0)
    finally:
        server.close()
    assert isinstance(unit, VideoFrame) and unit.image.shape == (96, 171, 3)
