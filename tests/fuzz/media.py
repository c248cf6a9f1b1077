"""The door of media files: clips, audio and images with changed bytes, opened and read to their end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from tests.fuzz.door import Door, Feed
from tests.fuzz.mutate import mutate

MOST_UNITS = 60


def open_media(folder: Path) -> tuple[Sequence[bytes], Feed]:
    """The bytes of a file -> MediaFile, and its first frames and chunks."""
    from edgeaff.capture.media_file import MediaFile
    from tests.media_maker import frame_times, write_clip

    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(3)]
    samples = (0.1 * rng.standard_normal(2400)).astype(np.float32)
    times = frame_times(30, 0.1)
    seeds = [
        write_clip(
            folder / f"a.{suffix}", frames=frames, times=times, samples=samples, sample_rate_hz=16_000
        ).read_bytes()
        for suffix in ("mov", "mkv", "avi")
    ]
    for suffix, codec in (("wav", "pcm_s16le"), ("flac", "flac"), ("mka", "pcm_f32le")):
        seeds.append(
            write_clip(folder / f"a.{suffix}", samples=samples, sample_rate_hz=16_000, audio_codec=codec).read_bytes()
        )
    still = frames[:1]
    for suffix, codec, pix_fmt in (("png", "png", "rgb24"), ("jpg", "mjpeg", "yuvj444p"), ("gif", "gif", "rgb8")):
        seeds.append(
            write_clip(folder / f"b.{suffix}", frames=still, times=[0], video_codec=codec, pix_fmt=pix_fmt).read_bytes()
        )
    path = folder / "input.mov"  # the content decides, not the suffix

    def feed(data: bytes) -> None:
        path.write_bytes(data)
        with MediaFile(path) as source:
            for _ in islice(source, MOST_UNITS):
                pass

    return seeds, feed


DOORS = [Door("media file", open_media, mutate, share=1.5, needs=("av",))]
