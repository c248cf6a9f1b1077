"""Every odd or broken file of the shared data, and the real clips: exact counts, offsets and errors.

The README beside the files states what each is. `good_base.mp4` is the reference: 149 frames at 25 fps, 263168 samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgeaff.capture.media_file import MediaFile
from edgeaff.capture.timeline import order_of
from edgeaff.errors import MediaError
from edgeaff.types import VideoFrame

pytestmark = [pytest.mark.needs_shared, pytest.mark.needs_media]
SECOND = 1_000_000_000


@dataclass
class Pass:
    source: MediaFile
    video_ns: list[int] = field(default_factory=list)
    audio_ns: list[int] = field(default_factory=list)
    chunks: list[np.ndarray] = field(default_factory=list)
    rates: set[int] = field(default_factory=set)
    first_image: np.ndarray | None = None
    middle_image: np.ndarray | None = None
    shapes: set[tuple[int, ...]] = field(default_factory=set)

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate(self.chunks)


@cache
def read(path: Path) -> Pass:
    found = Pass(MediaFile(path))
    previous = None
    for unit in found.source:
        assert previous is None or order_of(unit) >= previous
        previous = order_of(unit)
        if isinstance(unit, VideoFrame):
            assert unit.image.dtype == np.uint8 and unit.image.flags.c_contiguous
            found.video_ns.append(unit.pts_ns)
            found.shapes.add(unit.image.shape)
            if found.first_image is None:
                found.first_image = unit.image
            if len(found.video_ns) == 12:
                found.middle_image = unit.image
        else:
            assert unit.samples.dtype in (np.int16, np.float32) and unit.samples.ndim == 1
            assert 0 < unit.samples.size <= unit.sample_rate_hz // 10
            found.audio_ns.append(unit.pts_ns)
            found.chunks.append(unit.samples)
            found.rates.add(unit.sample_rate_hz)
    for times in (found.video_ns, found.audio_ns):
        assert all(later > earlier for earlier, later in zip(times, times[1:], strict=False))
    return found


REFUSED = {
    "zero_byte.mp4": "empty file (0 bytes)",
    "text_renamed.mp4": "no known format",
    "random_bytes.mp4": "no known format",
    "truncated_no_moov.mp4": "without its index (truncated",
}

# name: (frames, first and last frame s, samples, first sample s, rate); None = that modality is not there
BASE_VIDEO = (149, 0.0, 5.92)
BASE_AUDIO = (263_168, 0.0, 44_100)
READ = {
    "good_base.mp4": (BASE_VIDEO, BASE_AUDIO),
    "truncated_faststart.mp4": ((84, 0.0, 3.32), (145_408, 0.0, 44_100)),
    "corrupt_middle.mp4": ((148, 0.0, 5.92), (207_872, 0.0, 44_100)),
    "video_only.mp4": (BASE_VIDEO, None),
    "fragmented.mp4": ((52, 0.0, 2.04), None),
    "one_frame.mp4": ((1, 0.0, 0.0), None),
    "face.gif": ((20, 0.0, 1.9), None),
    "audio_only.m4a": (None, BASE_AUDIO),
    "audio_only_16k_mono.wav": (None, (95_481, 0.0, 16_000)),
    "audio_f32_96k.wav": (None, (192_000, 0.0, 96_000)),
    "audio_s24_44k1.wav": (None, BASE_AUDIO),
    "audio_float_nan_inf.wav": (None, (32_000, 0.0, 16_000)),
    "audio_8000.mp4": (BASE_VIDEO, (48_128, 0.0, 8_000)),
    "audio_48000.mp4": (BASE_VIDEO, (286_720, 0.0, 48_000)),
    "audio_5p1.mp4": (BASE_VIDEO, BASE_AUDIO),
    "audio_stereo_antiphase.mp4": (BASE_VIDEO, BASE_AUDIO),
    "audio_digital_silence.mp4": (BASE_VIDEO, BASE_AUDIO),
    "audio_clipped_pcm.mkv": (BASE_VIDEO, BASE_AUDIO),
    "vfr_gaps.mp4": ((109, 0.0, 5.92), BASE_AUDIO),
    "low_fps5.mp4": ((30, 0.0, 5.8), BASE_AUDIO),
    "fps60.mp4": ((353, 0.0, 352 / 60), BASE_AUDIO),
    "rotated_meta.mp4": (BASE_VIDEO, BASE_AUDIO),
    "hevc_10bit.mp4": (BASE_VIDEO, BASE_AUDIO),
    "odd_size_444.mp4": (BASE_VIDEO, BASE_AUDIO),
    "gray_ir_like.mp4": (BASE_VIDEO, BASE_AUDIO),
    "tiny_64px.mp4": (BASE_VIDEO, BASE_AUDIO),
    "uhd_4k_12frames.mp4": ((12, 0.0, 11 / 30), (19_456, 0.0, 48_000)),
    "mjpeg_pcm.avi": (BASE_VIDEO, (95_481, 0.0, 16_000)),
    "vp9_opus.webm": ((149, 0.007, 5.927), (286_442, 0.0, 48_000)),
    "audio_stream_first.mp4": (BASE_VIDEO, BASE_AUDIO),
    "two_audio_tracks.mp4": (BASE_VIDEO, BASE_AUDIO),
    "av_offset_audio_late_500ms.mp4": (BASE_VIDEO, (264_192, 20_992 / 44_100, 44_100)),
    "av_offset_video_late_500ms.mp4": ((149, 0.5, 6.42), BASE_AUDIO),
    "content_offset_audio_500ms.mp4": (BASE_VIDEO, (285_696, 0.0, 44_100)),
    "video_ends_early_2s_of_6s.mp4": ((52, 0.0, 2.04), BASE_AUDIO),
    "drift_0p1pct_60s.mp4": ((1_497, 0.0, 59.84), (2_634_752, 0.0, 44_100)),
    "start_at_10s.ts": ((149, 2_090 / 90_000, 5.92 + 2_090 / 90_000), (264_192, 0.0, 44_100)),
    "timestamps_jump_back.ts": ((126, 2_090 / 90_000, 5.92 + 2_090 / 90_000), (264_192, 0.0, 44_100)),
    "ts_33bit_wrap.ts": ((149, 2_090 / 90_000, 5.92 + 2_090 / 90_000), (264_192, 0.0, 44_100)),
    "no_face_noise.mp4": ((120, 0.0, 119 / 30), (64_512, 0.0, 16_000)),
}
WARNED = {
    "truncated_faststart.mp4": ["1 damaged packets", "the video ended early, at 3.36 s of", "the audio ended early"],
    "corrupt_middle.mp4": ["55 damaged packets", "58 of 148 frames are damaged"],
    "audio_stereo_antiphase.mp4": ["cancel out"],
}


def test_every_file_has_an_expectation(shared):
    names = {path.name for path in (shared / "data" / "bad").iterdir()} - {"README.md"}
    assert names == set(READ) | set(REFUSED) and len(names) == 44


@pytest.mark.parametrize("name", REFUSED)
def test_unusable_file_is_refused_in_one_line(shared, name):
    with pytest.raises(MediaError) as caught:
        MediaFile(shared / "data" / "bad" / name)
    message = str(caught.value)
    assert name in message and REFUSED[name] in message and "\n" not in message


@pytest.mark.parametrize("name", READ)
def test_file_is_read_completely_and_in_time(shared, name, capfd):
    found = read(shared / "data" / "bad" / name)
    video, audio = READ[name]
    assert found.source.has_video is (video is not None) and found.source.has_audio is (audio is not None)
    if video is not None:
        count, first, last = video
        assert len(found.video_ns) == count
        assert found.video_ns[0] == pytest.approx(first * SECOND, abs=1)
        assert found.video_ns[-1] == pytest.approx(last * SECOND, abs=1)
        assert len(found.shapes) == 1
    if audio is not None:
        count, first, rate = audio
        assert found.samples.size == count and found.rates == {rate}
        assert found.audio_ns[0] == pytest.approx(first * SECOND, abs=1)
    expected = WARNED.get(name, [])
    assert len(found.source.warnings) == len(expected)
    for warning, part in zip(found.source.warnings, expected, strict=True):
        assert part in warning and warning.startswith(name) and "\n" not in warning
    assert capfd.readouterr() == ("", "")


def bad(shared, name):
    return read(shared / "data" / "bad" / name)


def test_damage_leaves_holes_where_it_was(shared):
    good, damaged = bad(shared, "good_base.mp4"), bad(shared, "corrupt_middle.mp4")
    assert set(damaged.video_ns) < set(good.video_ns)
    holes = np.diff(damaged.audio_ns) > 30_000_000
    assert holes.any() and {time // 1000 for time in damaged.audio_ns} < {
        (time + nudge) // 1000 for time in good.audio_ns for nudge in (0, 1)
    }
    assert damaged.source.counts["bad_packets"] == 55 and damaged.source.counts["repaired_pts"] == 0


def test_jump_back_is_rebased_once_and_both_tracks_keep_their_offset(shared):
    found = bad(shared, "timestamps_jump_back.ts")
    assert found.source.counts["rebased_jumps"] == 1
    steps = np.diff(found.audio_ns) / SECOND
    assert steps.max() < 0.05  # the audio goes on without a hole
    assert np.diff(found.video_ns).max() / SECOND == pytest.approx(0.84, abs=0.001)  # no keyframe yet
    alone = [unit.pts_ns for unit in MediaFile(found.source.path, audio=False)]
    assert alone == found.video_ns


def test_33_bit_wrap_gives_the_times_of_the_same_file_without(shared):
    wrapped, plain = bad(shared, "ts_33bit_wrap.ts"), bad(shared, "start_at_10s.ts")
    assert np.abs(np.subtract(wrapped.video_ns, plain.video_ns)).max() <= 1
    assert np.abs(np.subtract(wrapped.audio_ns, plain.audio_ns)).max() <= 1
    assert wrapped.source.counts["rebased_jumps"] == 0


def test_variable_frame_rate_keeps_its_gaps(shared):
    found = bad(shared, "vfr_gaps.mp4")
    gaps = np.round(np.diff(found.video_ns) / SECOND, 3)
    assert sorted(set(gaps)) == [0.04, 0.16, 0.8]


def test_displayed_orientation_is_that_of_the_display_matrix(shared):
    # The matrix of this file turns a quarter counter-clockwise, its frame was stored turned the same way: FFmpeg and
    # OpenCV show it upside down as well (measured), so upside down is right.
    good, rotated = bad(shared, "good_base.mp4"), bad(shared, "rotated_meta.mp4")
    difference = rotated.first_image[::-1, ::-1].astype(int) - good.first_image
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("name", ["hevc_10bit.mp4", "audio_48000.mp4", "vp9_opus.webm", "mjpeg_pcm.avi"])
def test_same_frame_from_every_codec(shared, name):
    good, other = bad(shared, "good_base.mp4"), bad(shared, name)
    assert np.abs(good.middle_image.astype(int) - other.middle_image).mean() < 4


def test_gray_frame_becomes_equal_channels(shared):
    image = bad(shared, "gray_ir_like.mp4").first_image.astype(int)
    assert np.abs(image - image.mean(axis=2, keepdims=True)).max() <= 1.5


def test_five_one_without_layout_is_as_loud_as_stereo(shared):
    good, surround = (bad(shared, name).samples for name in ("good_base.mp4", "audio_5p1.mp4"))
    assert 20 * np.log10(surround.std() / good.std()) == pytest.approx(0, abs=1.0)
    assert np.corrcoef(good, surround)[0, 1] > 0.98


def test_bad_samples_are_passed_on_for_the_session_to_count(shared):
    samples = bad(shared, "audio_float_nan_inf.wav").samples
    assert np.isnan(samples).sum() == 10 and np.isinf(samples).sum() == 1


CLIPS = {  # frames, first, last; samples, first, rate
    **{
        f"grid_{name}.mpg": ((75, 0.0, 2.96), (131_328, 0.0, 44_100))
        for name in ("bbaf2n", "brbk7n", "lbax4n", "lbbc2a", "lrwp9a")
    },
    "weekly_address_f.mp4": ((200, 0.0, 7.96), (128_000, 0.0, 16_000)),
    "retalk1_vfr.mp4": ((135, 507 / 15_360, 6.099674479), (269_312, 0.0, 44_100)),
    "retalk4.mp4": ((199, 0.0, 6.6), (290_816, 0.0, 44_100)),
    "portrait1080_hevc.mp4": ((250, 0.0, 9.96), (441_344, 0.0, 44_100)),
}


@pytest.mark.parametrize("name", CLIPS)
def test_real_clip_is_read_completely_and_in_time(shared, name):
    found = read(shared / "data" / "media" / "av" / name)
    (count, first, last), (samples, start, rate) = CLIPS[name]
    assert len(found.video_ns) == count
    assert found.video_ns[0] == pytest.approx(first * SECOND, abs=1)
    assert found.video_ns[-1] == pytest.approx(last * SECOND, abs=1)
    assert found.samples.size == samples and found.rates == {rate}
    assert found.audio_ns[0] == pytest.approx(start * SECOND, abs=1)
    assert np.abs(np.diff(found.audio_ns) / SECOND * rate - [chunk.size for chunk in found.chunks[:-1]]).max() < 0.01
    assert found.source.warnings == [] and not any(
        found.source.counts[cause] for cause in ("bad_packets", "repaired_pts", "rebased_jumps")
    )


def test_audio_that_starts_late_keeps_its_offset(shared):
    found = read(shared / "data" / "media" / "face" / "face_then_noface_vfr.mov")
    assert found.video_ns[0] == 0 and found.audio_ns[0] == pytest.approx(2.430022676 * SECOND, abs=1)
    assert min(np.diff(found.video_ns)) / SECOND == pytest.approx(0.0137, abs=0.0001)
