from pathlib import Path

import numpy as np
import pytest

from edgeaff.capture.group import MergedSource
from edgeaff.capture.media_file import MediaFile
from edgeaff.capture.open import open_source
from edgeaff.capture.paced import PacedFile
from edgeaff.capture.source import Source
from edgeaff.capture.uri import SourceUri, parse_uri
from edgeaff.errors import ArgumentError, MediaError
from edgeaff.types import AudioChunk, VideoFrame
from tests.media_maker import frame_times, write_clip


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("clip.mp4", SourceUri("file", "clip.mp4")),
        (Path("a/b.mp4"), SourceUri("file", "a/b.mp4")),
        ("file:clip.mp4", SourceUri("file", "clip.mp4")),
        ("file:///home/me/my%20clip.mp4", SourceUri("file", "/home/me/my clip.mp4")),
        ("file:what?.mp4", SourceUri("file", "what?.mp4")),
        ("camera:0", SourceUri("camera", "0")),
        ("camera:0?fps=30&size=640x480", SourceUri("camera", "0", {"fps": "30", "size": "640x480"})),
        ("camera:/dev/video2", SourceUri("camera", "/dev/video2")),
        ("mic:default", SourceUri("mic", "default")),
        ("mic:USB Audio", SourceUri("mic", "USB Audio")),
        ("RTSP://host/a?b=c", SourceUri("rtsp", "RTSP://host/a?b=c")),
        ("udp://127.0.0.1:5000", SourceUri("udp", "udp://127.0.0.1:5000")),
        ("gst:videotestsrc ! appsink", SourceUri("gst", "videotestsrc ! appsink")),
        ("paced:clip.mp4?loop=1&speed=2", SourceUri("paced", "clip.mp4", {"loop": "1", "speed": "2"})),
        ("replay:session.eaffrec", SourceUri("replay", "session.eaffrec")),
        ("push:", SourceUri("push", "")),
    ],
)
def test_uri_is_parsed(uri, expected):
    assert parse_uri(uri) == expected


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("camra:0", "did you mean camera:?"),
        ("microphone:default", "did you mean mic:?"),
        ("webcam:0", "did you mean camera:?"),
        ("https://host/clip.mp4", "download it and pass its path"),
        ("odd-name:x.mp4", "pass file:odd-name:x.mp4"),
        ("camera:0?fsp=30", "did you mean fps?"),
        ("paced:clip.mp4?lop=1", "did you mean loop?"),
        ("camera:", "must name something"),
        ("rtsp:host", "must be rtsp://"),
        ("", "must be a path"),
    ],
)
def test_wrong_uri_states_what_to_do(uri, advice):
    with pytest.raises(ArgumentError, match="must be|must name") as caught:
        parse_uri(uri)
    assert advice in str(caught.value)


def test_file_with_a_colon_in_its_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("take:one.mp4").touch()
    assert parse_uri("take:one.mp4") == SourceUri("file", "take:one.mp4")


def test_nothing_wanted_is_refused():
    with pytest.raises(ArgumentError, match="at least one"):
        open_source("clip.mp4", video=False, audio=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    times = frame_times(25, 1)
    frames = [np.full((48, 64, 3), index * 8, np.uint8) for index in range(len(times))]
    samples = np.linspace(-0.5, 0.5, 12_000, dtype=np.float32)
    both = write_clip(folder / "both.mov", frames=frames, times=times, samples=samples, sample_rate_hz=16_000)
    clip = write_clip(folder / "clip.wav", samples=samples, sample_rate_hz=8_000)
    return both, clip


@pytest.mark.needs_media
def test_media_file_is_a_source(clips):
    with open_source(clips[0]) as source:
        assert isinstance(source, Source) and isinstance(source, MediaFile)
        assert source.has_video and source.has_audio and not source.is_live


@pytest.mark.needs_media
def test_paced_uri_opens_the_file_as_a_live_source(clips):
    with open_source(f"paced:{clips[1]}?loop=1&speed=20") as source:
        assert source.is_live and source.has_audio
        chunks = [source.take(3.0) for _ in range(60)]
    assert sum(chunk.samples.size for chunk in chunks) > 12_000  # more than the file holds


@pytest.mark.needs_media
def test_paced_file_without_a_length_ends_though_it_loops(tmp_path):
    path = write_clip(tmp_path / "one.mov", frames=[np.zeros((48, 64, 3), np.uint8)], times=[0])
    with PacedFile(path, loop=True) as source:
        assert len(list(source)) == 1


@pytest.mark.needs_media
@pytest.mark.parametrize(
    ("options", "advice"), [("loop=yes", "loop must be 0 or 1"), ("speed=fast", "speed must be a number")]
)
def test_paced_uri_with_a_wrong_option_states_what_to_do(clips, options, advice):
    with pytest.raises(ArgumentError, match=advice):
        open_source(f"paced:{clips[1]}?{options}")


@pytest.mark.needs_media
def test_modality_not_wanted_is_not_delivered(clips):
    assert {type(unit) for unit in open_source(clips[0], audio=False)} == {VideoFrame}
    assert {type(unit) for unit in open_source(clips[0], video=False)} == {AudioChunk}
    with pytest.raises(MediaError, match="must have a video track, got audio"):
        open_source(clips[1], audio=False)


@pytest.mark.needs_media
def test_merged_source_takes_the_frame_of_one_and_the_audio_of_the_other(clips):
    merged = MergedSource(open_source(clips[0], audio=False), open_source(clips[1], video=False))
    with merged as source:
        units = list(source)
    assert isinstance(merged, Source)
    assert merged.duration_seconds == pytest.approx(1.5)
    assert merged.counts["frames"] == 25
    assert [unit.pts_ns for unit in units] == sorted(unit.pts_ns for unit in units)
    assert {unit.sample_rate_hz for unit in units if isinstance(unit, AudioChunk)} == {8_000}


@pytest.mark.needs_media
def test_merged_source_refuses_a_part_with_both_modalities(clips):
    with pytest.raises(ArgumentError, match="audio=False"):
        MergedSource(open_source(clips[0]), open_source(clips[1]))
    with pytest.raises(ArgumentError, match="video=False"):
        MergedSource(open_source(clips[0], audio=False), open_source(clips[0]))
