"""Times of a file's frames, whichever times its container stores: each frame shows its number."""

from fractions import Fraction

import numpy as np
import pytest

from edgeaff.capture.file_clock import AudioClock, VideoClock
from edgeaff.capture.media_file import MediaFile
from edgeaff.spec import MILLISECOND, NANOSECONDS
from tests.media_maker import write_clip

pytestmark = pytest.mark.needs_media
FRAMES, RATE = 40, 30
STEP_NS = NANOSECONDS / RATE


def numbered(number: int) -> np.ndarray:
    """A frame whose six fields are the bits of its number."""
    bits = [number >> bit & 1 for bit in range(6)]
    fields = np.array(bits, np.uint8).reshape(2, 3) * 180 + 40
    return np.repeat(np.kron(fields, np.ones((32, 32), np.uint8))[:, :, None], 3, axis=2)


def number_of(image: np.ndarray) -> int:
    fields = image[16::32, 16::32].mean(axis=2) > 130
    return sum(1 << bit for bit, on in enumerate(fields.ravel()) if on)


def write_numbered(
    path, codec: str, *, b_frames: int = 2, form: str | None = None, count: int = FRAMES, packet_time=None
):
    """Writes frames 0 to count - 1 at 30 a second. packet_time: called with each packet's index, gives its pts in ms instead."""
    import av

    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=RATE, width=96, height=64)
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec != "mjpeg":
            stream.codec_context.max_b_frames = b_frames
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "bf": str(b_frames), "b-adapt": "0", "crf": "10"}
        packets = 0
        for number in (*range(count), None):
            frame = None
            if number is not None:
                frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, RATE)
            for packet in stream.encode(frame):
                if packet_time is not None:
                    packet.pts = packet.dts = packet_time(packets)
                    packet.time_base = Fraction(1, 1000)
                packets += 1
                container.mux(packet)
    return path


def encoders() -> list[str]:
    try:
        import av
    except ImportError:
        return []
    return [codec for codec in ("mpeg4", "mpeg1video", "mpeg2video", "libx264") if codec in av.codecs_available]


def read(path) -> tuple[list[int], np.ndarray, MediaFile]:
    source = MediaFile(path)
    frames = list(source)
    return [number_of(frame.image) for frame in frames], np.array([frame.pts_ns for frame in frames]), source


@pytest.mark.parametrize("codec", encoders())
@pytest.mark.parametrize("form", ["avi", "asf", "mxf", "nut", "matroska", "mov", "mpegts", "mpeg"])
def test_frames_come_evenly_where_they_are_stored_in_coding_order(tmp_path, codec, form):
    if form == "mxf" and codec in ("mpeg4", "mpeg1video"):
        form = "matroska"  # MXF does not take them
    numbers, times, source = read(write_numbered(tmp_path / "clip", codec, form=form))
    assert numbers == list(range(FRAMES))
    assert (
        np.abs(times - times[0] - np.arange(FRAMES) * STEP_NS).max() < 1.1 * MILLISECOND
    )  # what ASF and Matroska round to
    assert source.warnings == []


def test_avi_starts_with_its_first_packet(tmp_path):
    for codec in encoders():
        _, times, _ = read(write_numbered(tmp_path / f"{codec}.avi", codec))
        assert times[0] == 0


@pytest.mark.parametrize("form", ["avi", "matroska"])
def test_a_lost_packet_moves_no_other_frame(tmp_path, form):
    path = write_numbered(tmp_path / "clip", "mpeg4", form=form, b_frames=0)
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"\x00\x00\x01\xb6"]
    data[starts[9] : starts[9] + 4] = b"\x00\x00\x00\x00"
    path.write_bytes(data)
    numbers, times, _ = read(path)
    expected = [round(time * RATE / NANOSECONDS) for time in times]
    assert len(numbers) >= FRAMES - 2 and expected[-1] == FRAMES - 1


@pytest.mark.parametrize(
    ("codec", "form", "rate", "how"),
    [
        ("mpeg4", "m4v", 30, "as the stream declares"),
        ("mpeg2video", "mpeg2video", 30, "as the stream declares"),
        ("mjpeg", "mjpeg", 25, "an assumption"),
    ],
)
def test_a_raw_stream_has_a_nominal_clock_and_a_warning(tmp_path, codec, form, rate, how):
    numbers, times, source = read(write_numbered(tmp_path / "clip.raw", codec, form=form))
    assert numbers == list(range(FRAMES))
    assert np.abs(times - np.arange(FRAMES) * NANOSECONDS / rate).max() < 1_000
    assert len(source.warnings) == 1 and f"taken at {rate} a second ({how})" in source.warnings[0]
    assert source.counts["repaired_pts"] == 0


@pytest.mark.parametrize("instant", [0, 5_000])
def test_times_that_do_not_advance_give_way_to_a_nominal_clock(tmp_path, instant):
    path = write_numbered(tmp_path / "clip.mkv", "mjpeg", packet_time=lambda _: instant)
    numbers, times, source = read(path)
    assert numbers == list(range(FRAMES))
    steps = np.diff(times) / NANOSECONDS
    assert np.allclose(steps, 1 / RATE, atol=0.001)
    assert source.warnings == [
        f"clip.mkv: the times of {FRAMES - 1} of {FRAMES} frames do not advance; a nominal clock takes their place."
    ]


def test_a_few_repeated_times_are_spread_and_no_warning(tmp_path):
    path = write_numbered(tmp_path / "clip.mkv", "mjpeg", packet_time=lambda n: 33 * (n - (n in (7, 19, 20))))
    _, times, source = read(path)
    assert (np.diff(times) >= MILLISECOND).all() and source.warnings == []
    assert source.counts["repaired_pts"] >= 3
    assert abs(times[-1] - 33 * MILLISECOND * (FRAMES - 1)) < MILLISECOND


def test_frame_times_are_those_of_the_frames(tmp_path):
    path = write_numbered(tmp_path / "clip.avi", "mpeg4")
    _, times, source = read(path)
    np.testing.assert_array_equal(source.frame_times_ns(), times)
    assert source.frame_times_ns().dtype == np.int64


def test_a_file_without_video_has_no_frame_times(tmp_path):
    path = write_clip(tmp_path / "audio.wav", samples=np.zeros(800, np.float32), sample_rate_hz=8_000)
    assert MediaFile(path).frame_times_ns().shape == (0,)


def test_video_clock_never_gives_two_frames_less_than_a_millisecond_apart():
    rng = np.random.default_rng(0)
    clock, last = VideoClock(), None
    for raw in np.cumsum(rng.choice([0, 0, 40, 40, 40, -20, 1], 2_000)) * MILLISECOND:
        now = clock.stamp(None if rng.random() < 0.1 else int(raw), None)
        assert last is None or now >= last + MILLISECOND
        last = now


def test_audio_whose_times_do_not_advance_is_counted():
    clock = AudioClock()
    starts = [clock.stamp(0, count=480, rate_hz=48_000, tick_ns=MILLISECOND) for _ in range(5)]
    assert starts == [10 * MILLISECOND * chunk for chunk in range(5)]
    assert clock.repaired == 4
