"""MediaFile on files made here: exact pixels, exact samples, exact times."""

import contextlib
import gc
import os
import wave
from fractions import Fraction

import numpy as np
import pytest

from edgeaff.capture.image import orientation_of
from edgeaff.capture.media_file import MediaFile
from edgeaff.capture.timeline import order_of
from edgeaff.errors import MediaError
from edgeaff.types import AudioChunk, VideoFrame
from tests.media_maker import clap_and_flash, frame_times, variable_frame_times, write_clip

pytestmark = pytest.mark.needs_media
SECOND = 1_000_000_000


def parts(source):
    units = list(source)
    assert [order_of(unit) for unit in units] == sorted(order_of(unit) for unit in units)
    frames = [unit for unit in units if isinstance(unit, VideoFrame)]
    chunks = [unit for unit in units if isinstance(unit, AudioChunk)]
    for modality in (frames, chunks):
        times = [unit.pts_ns for unit in modality]
        assert all(later > earlier for earlier, later in zip(times, times[1:], strict=False))
    return frames, chunks


def joined(chunks):
    return np.concatenate([chunk.samples for chunk in chunks])


def noise_frames(count, size=(31, 47)):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("fps", [7.5, 24, 25, 29.97, 30, 60, "variable"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("starts", [(0, 0), (0.5, 0), (0, 0.5)])
def test_claps_meet_their_flashes(tmp_path, fps, rate, starts):
    video_start, audio_start = starts
    times = variable_frame_times(3) if fps == "variable" else frame_times(fps, 3)
    offsets = {"video_start_seconds": video_start, "audio_start_seconds": audio_start}
    frames, samples, claps = clap_and_flash(times, sample_rate_hz=rate, **offsets)
    path = write_clip(
        tmp_path / "clip.mov", frames=frames, times=times, samples=samples, sample_rate_hz=rate, **offsets
    )
    got, chunks = parts(MediaFile(path))
    flashes = [frame.pts_ns for frame in got if frame.image.mean() > 128]
    heard = []
    for chunk in chunks:
        for index in np.flatnonzero(np.abs(chunk.samples.astype(np.float64)) > 0.05 * 32_768):
            time = chunk.pts_ns + index * SECOND // rate
            if not heard or time > heard[-1] + SECOND // 4:
                heard.append(time)
    assert len(claps) >= 2 and len(got) == len(times)
    np.testing.assert_allclose(flashes, np.array(claps) * SECOND, atol=20_000)  # two ticks of 1/90000 s
    np.testing.assert_allclose(heard, np.array(claps) * SECOND, atol=SECOND / rate + 100_000)  # a burst's first samples
    assert {chunk.sample_rate_hz for chunk in chunks} == {rate}


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".avi"])
def test_samples_come_back_exactly(tmp_path, suffix):
    samples = np.random.default_rng(0).integers(-32_767, 32_767, 44_100).astype(np.int16)
    path = write_clip(tmp_path / f"clip{suffix}", samples=samples / np.float32(32_767), sample_rate_hz=44_100)
    _, chunks = parts(MediaFile(path))
    assert chunks[0].samples.dtype == np.int16
    assert (joined(chunks) == samples).all()
    counted = np.cumsum([0] + [chunk.samples.size for chunk in chunks[:-1]]) / 44_100
    np.testing.assert_allclose([chunk.pts_ns for chunk in chunks], counted * SECOND, atol=1.5)


@pytest.mark.parametrize(
    ("codec", "layout", "tolerance"),
    [
        ("pcm_f32le", "stereo", 1e-7),
        ("pcm_s24le", "stereo", 2e-7),
        ("pcm_u8", "mono", 1e-2),
        ("pcm_f64le", "5.1", 1e-6),
    ],
)
def test_layouts_and_formats_are_mixed_with_the_defined_weights(tmp_path, codec, layout, tolerance):
    count = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    weights = {1: [1], 2: [0.5, 0.5], 6: [0.5, 0.5, 1, 0, 0.25, 0.25]}[count]
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, (count, 4_800)).astype(np.float32)
    path = write_clip(tmp_path / "clip.wav", samples=samples, audio_codec=codec, layout=layout)
    _, chunks = parts(MediaFile(path))
    assert joined(chunks).dtype == np.float32
    np.testing.assert_allclose(joined(chunks), np.array(weights) @ samples, atol=tolerance)


def test_chunks_are_at_most_a_tenth_of_a_second(tmp_path):
    samples = np.zeros(20_000, np.float32)
    path = write_clip(tmp_path / "s.flac", samples=samples, sample_rate_hz=44_100, audio_codec="flac")
    _, chunks = parts(MediaFile(path))  # FLAC packs 4608 samples into a frame
    assert max(chunk.samples.size for chunk in chunks) == 4_410
    assert joined(chunks).size == 20_000


def test_lossless_frames_come_back_exactly(tmp_path):
    images = noise_frames(5)
    path = write_clip(tmp_path / "p.mkv", frames=images, times=frame_times(25, 0.2), video_codec="ffv1", pix_fmt="bgr0")
    got, _ = parts(MediaFile(path))
    for frame, raw_image in zip(got, images, strict=True):
        assert frame.image.flags.c_contiguous and frame.image.dtype == np.uint8
        assert (frame.image == raw_image).all()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gray", "gray16le", "yuva444p", "rgb48le"])
@pytest.mark.parametrize("size", [(48, 64), (31, 47)])
def test_any_pixel_format_and_size_becomes_rgb(tmp_path, pix_fmt, size):
    raw_image = np.full((*size, 3), (90, 90, 90), np.uint8)
    path = write_clip(tmp_path / "p.mkv", frames=[raw_image] * 2, times=[0, 0.04], video_codec="ffv1", pix_fmt=pix_fmt)
    got, _ = parts(MediaFile(path))
    assert [frame.image.shape for frame in got] == [(*size, 3)] * 2
    np.testing.assert_allclose(got[0].image.astype(int), 90, atol=2)


def test_bt709_is_converted_with_its_own_matrix(tmp_path):
    raw_image = np.zeros((32, 32, 3), np.uint8)
    raw_image[:] = (200, 40, 60)
    for colorspace in (None, 1):
        path = write_clip(
            tmp_path / f"c{colorspace}.mkv",
            frames=[raw_image],
            times=[0],
            video_codec="ffv1",
            pix_fmt="yuv444p",
            colorspace=colorspace,
        )
        got, _ = parts(MediaFile(path))
        np.testing.assert_allclose(got[0].image[16, 16].astype(int), (200, 40, 60), atol=3)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), lambda x: x),
        ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),  # measured against what FFmpeg and OpenCV show
        ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
        ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
        ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
        ((1, 0, 0, -1), lambda x: x[::-1]),
        ((0, 1, 1, 0), lambda x: x.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda x: x[::-1, ::-1].transpose(1, 0, 2)),
        ((1, 1, -1, 1), lambda x: x),
    ],
)
def test_display_matrix_moves_each_pixel_where_it_states(matrix, expected):
    image = noise_frames(1, (4, 6))[0]
    a, b, c, d = (value << 16 for value in matrix)
    turns, mirrored = orientation_of(np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32))
    shown = np.rot90(image[:, ::-1] if mirrored else image, turns)
    assert (shown == expected(image)).all()


def test_exif_orientation_of_a_photograph_is_applied(tmp_path):
    from PIL import Image

    raw_image = np.zeros((32, 64, 3), np.uint8)
    raw_image[:, :16] = 255  # left edge; orientation 6 turns it to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(raw_image).save(tmp_path / "photo.jpg", quality=95, exif=exif)
    got, _ = parts(MediaFile(tmp_path / "photo.jpg"))
    assert got[0].image.shape == (64, 32, 3)
    assert got[0].image[:12].mean() > 240 and got[0].image[20:].mean() < 15


def test_cover_art_is_not_video(tmp_path):
    import av
    from PIL import Image

    Image.fromarray(noise_frames(1, (32, 32))[0]).save(tmp_path / "cover.png")
    write_clip(tmp_path / "clip.mp3", samples=np.zeros(48_000, np.float32), audio_codec="libmp3lame")
    with (
        av.open(str(tmp_path / "clip.mp3")) as clip,
        av.open(str(tmp_path / "cover.png")) as cover,
        av.open(str(tmp_path / "song.mp3"), "w") as song,
    ):
        tracks = {0: song.add_stream_from_template(clip.streams.audio[0])}
        tracks[1] = song.add_stream_from_template(cover.streams.video[0])
        tracks[1].disposition = av.stream.Disposition.attached_pic
        for number, container in enumerate((clip, cover)):
            for packet in container.demux():
                if packet.dts is not None:
                    packet.stream = tracks[number]
                    song.mux(packet)
    source = MediaFile(tmp_path / "song.mp3")
    assert source.has_audio and not source.has_video


def test_memory_stays_bounded_where_all_audio_comes_before_the_frame(tmp_path):
    times = frame_times(10, 30)
    path = write_clip(
        tmp_path / "bad_order.mkv",
        frames=noise_frames(1, (96, 128)) * len(times),
        times=times,
        samples=np.zeros(30 * 8_000, np.float32),
        sample_rate_hz=8_000,
        audio_first=True,
        options={"max_interleave_delta": "1"},
    )
    seen = sum(isinstance(unit, VideoFrame) for unit in MediaFile(path, audio=False))
    assert seen == len(times)
    most = 0
    for number, _ in enumerate(MediaFile(path)):
        if number % 50 == 0:
            most = max(most, sum(type(thing) is VideoFrame for thing in gc.get_objects()))
    assert most <= 4


def test_decoded_frames_are_freed_without_the_garbage_collector(tmp_path):
    import av

    times = frame_times(25, 4)
    path = write_clip(tmp_path / "c.mov", frames=noise_frames(1) * len(times), times=times)
    gc.collect()
    gc.disable()
    try:
        before = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
        assert len(list(MediaFile(path))) == 100
        assert sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) - before <= 2
    finally:
        gc.enable()


def test_second_pass_gives_the_same(tmp_path):
    times = frame_times(25, 1)
    frames, samples, _ = clap_and_flash(times, sample_rate_hz=8_000)
    path = write_clip(tmp_path / "c.mov", frames=frames, times=times, samples=samples, sample_rate_hz=8_000)
    source = MediaFile(path)
    first, second = (
        [(u.pts_ns, (u.image if isinstance(u, VideoFrame) else u.samples).tobytes()) for u in source] for _ in "12"
    )
    assert first == second and source.counts["frames"] == 25


def test_stopping_early_leaves_no_file_open(tmp_path):
    times = frame_times(25, 2)
    path = write_clip(tmp_path / "c.mov", frames=noise_frames(1) * len(times), times=times)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with MediaFile(path) as source:
            running = iter(source)
            next(running)
            running.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [("absent.mp4", "check the path"), (".", "must be a regular file"), ("notes.txt", "no known format")],
)
def test_what_is_no_media_file_is_refused_in_one_line(tmp_path, name, expected):
    (tmp_path / "notes.txt").write_text("no raw_image here\n" * 100)
    with pytest.raises(MediaError, match=expected) as caught:
        MediaFile(tmp_path / name)
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_file_without_one_good_packet_is_refused(tmp_path):
    path = write_clip(tmp_path / "c.mov", frames=noise_frames(1, (64, 64)), times=[0])
    data = bytearray(path.read_bytes())
    start = data.index(b"\xff\xd8\xff")
    data[start : data.index(b"\xff\xd9", start)] = bytes(data.index(b"\xff\xd9", start) - start)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="at least one readable frame"):
        list(MediaFile(path))


def test_ffmpeg_stays_silent_about_damage(tmp_path, capfd):
    path = write_clip(tmp_path / "c.mov", frames=noise_frames(5, (64, 64)), times=frame_times(25, 0.2))
    data = bytearray(path.read_bytes())
    third = data.index(b"\xff\xd8\xff", data.index(b"\xff\xd8\xff", data.index(b"\xff\xd8\xff") + 1) + 1)
    data[third : third + 4_000] = bytes(4_000)
    path.write_bytes(data)
    source = MediaFile(path)
    frames, _ = parts(source)
    assert [frame.pts_ns // 1_000_000 for frame in frames] == [0, 40, 120, 160]
    assert source.warnings == ["c.mov: 1 damaged packets were skipped."]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["mov", "mkv", "avi", "ts", "mp4"])
def test_a_file_damaged_anywhere_is_read_or_refused(tmp_path, suffix):
    """For any changed bytes, a MediaFile raises only MediaError, times rise, and images have pixels."""
    codec = {"video_codec": "mpeg2video", "pix_fmt": "yuv420p", "time_base": Fraction(1, 25)}
    audio = {"audio_codec": "mp2"} if suffix in ("ts", "mp4", "avi") else {}
    path = write_clip(
        tmp_path / f"c.{suffix}",
        frames=noise_frames(8, (32, 48)),
        times=frame_times(25, 0.32),
        samples=np.sin(np.arange(12_800, dtype=np.float32) / 9),
        sample_rate_hz=32_000,
        **codec,
        **audio,
    )
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    for _ in range(40):
        data = bytearray(whole[: int(rng.integers(64, len(whole)))] if rng.random() < 0.3 else whole)
        places = rng.integers(0, min(len(data), 1_500) if rng.random() < 0.5 else len(data), int(rng.integers(1, 12)))
        for place in places:
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        with contextlib.suppress(MediaError):
            frames, chunks = parts(MediaFile(path))
            assert all(0 not in frame.image.shape for frame in frames)
            assert all(chunk.samples.size for chunk in chunks)


def write_wav(path, rate, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("rate", [176_400, 192_000, 384_000])
def test_audio_of_a_high_rate_is_delivered_as_it_is(tmp_path, rate):
    samples = np.arange(rate // 4) % 1_000
    _, chunks = parts(MediaFile(write_wav(tmp_path / "clip.wav", rate, samples)))
    assert {chunk.sample_rate_hz for chunk in chunks} == {rate}
    np.testing.assert_array_equal(joined(chunks), samples)


def test_audio_alone_of_a_rate_that_is_not_taken_is_refused(tmp_path):
    path = write_wav(tmp_path / "clip.wav", 4_000, np.zeros(8_000))
    with pytest.raises(MediaError, match="clip.wav has audio of 4000 Hz, outside 8000 to 768000; resample it"):
        MediaFile(path)


def test_audio_of_a_rate_that_is_not_taken_leaves_the_video(tmp_path):
    path = write_clip(
        tmp_path / "c.mkv",
        frames=noise_frames(5),
        times=frame_times(25, 0.2),
        samples=np.zeros(2_000, np.float32),
        sample_rate_hz=4_000,
    )
    source = MediaFile(path)
    frames, chunks = parts(source)
    assert len(frames) == 5 and not chunks and source.has_video and not source.has_audio
    assert source.warnings == ["c.mkv has audio of 4000 Hz, outside 8000 to 768000; the audio is left out."]


def test_float_audio_on_the_scale_of_int16_is_a_warning(tmp_path):
    tone = 9_000 * np.sin(np.arange(4_000) / 7).astype(np.float32)
    path = write_clip(tmp_path / "c.mkv", samples=tone, sample_rate_hz=16_000, audio_codec="pcm_f32le")
    source = MediaFile(path)
    _, chunks = parts(source)
    assert np.abs(joined(chunks)).max() <= 8
    assert source.warnings == [
        "c.mkv: most audio samples lie far outside [-1, 1] and saturate; they are probably int16 values stored as float."
    ]
