"""A flash and a clap at one instant land on one tick, for every frame rate: image, label, and samples after its lag."""

from dataclasses import replace

import numpy as np
import pytest

from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError
from edgeaff.preprocess import PreprocessParts
from edgeaff.spec import PreprocessSpec
from edgeaff.training.corpora import Track
from edgeaff.training.corpora.submission import values_of_frames
from edgeaff.training.features.cache import FeatureCache
from edgeaff.training.features.track import extract_track
from edgeaff.types import FaceBox, FaceDetection

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_media]


class _WholeImage:
    """Finds one face: the image."""

    id = "edgeaff-ssd"

    def detect(self, image):
        return [FaceDetection(FaceBox(8.0, 8.0, 56.0, 56.0), 0.9)]


class _Brightness:
    """Describes a crop by its mean brightness."""

    def crop(self, image, box):
        return np.full((96, 96, 3), image.mean(), np.uint8)

    def encode_crops(self, crops):
        return np.array([[crop.mean()] for crop in crops], dtype=np.float32)


class _Plain:
    def update_and_normalize(self, lld):
        return lld

    def reset(self):
        pass


def _write_clip(path, rate, seconds, event_seconds, audio_rate=16_000, late_frames=0):
    from fractions import Fraction

    import av

    event = round(event_seconds * rate)
    samples = np.zeros(int(seconds * audio_rate), np.int16)
    at = int(event / rate * audio_rate)
    samples[at : at + 320] = (
        (12_000 * np.random.default_rng(0).standard_normal(320)).clip(-32000, 32000).astype(np.int16)
    )
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=rate)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=audio_rate)
        audio.layout = "mono"
        for index in range(int(seconds * rate)):
            image = np.full((64, 64, 3), 255 if index == event else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index + late_frames, Fraction(1, rate)
            container.mux(list(video.encode(frame)))
        container.mux(list(video.encode(None)))
        for start in range(0, len(samples), 1600):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1600], format="s16", layout="mono")
            frame.sample_rate, frame.pts = audio_rate, start
            container.mux(list(audio.encode(frame)))
        container.mux(list(audio.encode(None)))
    return event


@pytest.mark.parametrize("rate", [8, 24, 25, 30, 60])
def test_flash_clap_and_label_share_their_tick(tmp_path, rate):
    path = tmp_path / "clip.mkv"
    event = _write_clip(path, rate, 3.0, 1.5)
    labels = np.full((3 * rate - 1, 2), 0.1, np.float32)  # one row short, as real files are
    labels[event] = 0.9
    spec = PreprocessSpec()
    parts = PreprocessParts(spec, _WholeImage(), _Brightness(), _Plain())
    features = extract_track(Track("clip", "train", labels, path), parts, descriptor_size=1)
    tick = round(event / rate * 30)
    lag = round(spec.audio_lag_seconds * 30)
    assert abs(int(features.video[:, 0].argmax()) - tick) <= 1
    assert features.labels[:, 0].argmax() == features.video[:, 0].argmax()
    assert abs(int(features.audio[:, 8].argmax()) - lag - tick) <= 1
    assert features.present[:, 0].mean() > 0.9
    if rate <= 30:  # at 60 the last tick takes the frame before the last
        assert (features.labels[-1] == -5).all()


@pytest.mark.parametrize(("rate", "late_frames"), [(8, 0), (24, 0), (25, 6), (30, 0), (30, 7), (60, 0)])
def test_values_of_ticks_come_back_to_their_frames(tmp_path, rate, late_frames):
    """What a network states of a tick is submitted for the frame whose label the tick has; the samples may begin first."""
    path = tmp_path / "clip.mkv"
    _write_clip(path, rate, 2.0, 1.0, late_frames=late_frames)
    labels = np.linspace(-1, 1, 4 * rate, dtype=np.float32).reshape(2 * rate, 2)
    spec = PreprocessSpec()
    parts = PreprocessParts(spec, _WholeImage(), _Brightness(), _Plain())
    features = extract_track(Track("clip", "train", labels, path), parts, descriptor_size=1)
    cache = FeatureCache(tmp_path / "cache", spec, encoder_id="x")
    cache.write(features)
    ticks = cache.read("clip").ticks
    assert len(ticks) == len(features.labels) and (ticks[0] == 0)
    frames = values_of_frames(features.labels, ticks, MediaFile(path).frame_times_ns(), spec)
    if rate <= 30:
        np.testing.assert_array_equal(frames, labels)
    else:
        np.testing.assert_allclose(frames, labels, atol=2.1 / rate)  # two frames a tick


@pytest.mark.parametrize(("rows", "stated"), [(60, False), (58, False), (120, True), (40, True), (0, True)])
def test_rows_of_another_video_are_worth_a_word(tmp_path, rows, stated):
    path = tmp_path / "clip.mkv"
    _write_clip(path, 30, 2.0, 1.0)
    warnings = []
    parts = PreprocessParts(PreprocessSpec(), _WholeImage(), _Brightness(), _Plain())
    track = Track("clip", "train", np.zeros((rows, 2), np.float32), path)
    extract_track(track, parts, descriptor_size=1, warn=warnings.append)
    wanted = f"{rows} annotation rows for 60 frames of clip.mkv; is it the video annotated?"
    wanted = wanted if rows else "no row in its annotation"
    assert [warning for warning in warnings if "row" in warning] == ([wanted] if stated else [])
    extract_track(replace(track, split="test"), parts, descriptor_size=1, warn=warnings.append)
    assert len([warning for warning in warnings if "no row" in warning]) == (rows == 0)  # test tracks have none


def test_a_track_without_video_is_refused():
    with pytest.raises(ArgumentError, match="must have a video file"):
        extract_track(
            Track("x", "train", np.zeros((1, 2), np.float32)), PreprocessParts(PreprocessSpec()), descriptor_size=1
        )


def _write_numbered(path, times_ms):
    """Frame i has the brightness 2 i and is stored at times_ms[i]."""
    from fractions import Fraction

    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30, width=64, height=64, pix_fmt="yuvj420p")
        for index, time in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 2 * index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            for packet in stream.encode(frame):
                packet.pts = packet.dts = time
                packet.time_base = Fraction(1, 1000)
                container.mux(packet)


@pytest.mark.parametrize("repeated", [(), (20, 40, 41, 60, 80)])
@pytest.mark.parametrize("gap_ms", [0, 2_000, 1_800_000])
def test_label_rows_belong_to_frames_at_any_times(tmp_path, repeated, gap_ms):
    times = [33 * (index - sum(index > place for place in repeated)) for index in range(100)]
    times = [time + (gap_ms if index >= 50 else 0) for index, time in enumerate(times)]
    _write_numbered(tmp_path / "clip.mkv", times)
    rows = np.repeat(np.arange(100, dtype=np.float32)[:, None] / 100, 2, axis=1)
    parts = PreprocessParts(PreprocessSpec(), _WholeImage(), _Brightness(), _Plain())
    features = extract_track(Track("clip", "train", rows, tmp_path / "clip.mkv"), parts, descriptor_size=1)
    labeled = features.labels[:, 0] >= 0
    frames = np.rint(100 * features.labels[labeled, 0]).astype(int)
    shown = features.video[labeled, 0]
    seen = features.present[labeled, 0]
    assert np.abs(shown[seen] / 2 - frames[seen]).max() <= 1  # what JPEG rounds to
    assert frames[-1] == 99 and len(set(frames)) >= 93
    assert len(features.ticks) < 300, "no ticks inside a gap of more than 10 s"
