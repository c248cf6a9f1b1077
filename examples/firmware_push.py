"""A firmware loop that owns its camera and microphone: it pushes what it has and reads what came of it, and never blocks.

The loop below plays a file at real speed in the place of the drivers; put your own frames and samples where it pushes.

    python examples/firmware_push.py clip.mp4 [--speed 1]
"""

from __future__ import annotations

import argparse
import time

import edgeaff
from edgeaff.capture.media_file import MediaFile
from edgeaff.types import AudioChunk, VideoFrame


def audio_rate(path: str) -> int | None:
    """Returns the rate of a file's audio, Hz, None where it has none; a driver's is known."""
    with MediaFile(path) as file:
        return next((unit.sample_rate_hz for unit in file if isinstance(unit, AudioChunk)), None)


def main() -> None:
    """Pushes a file as a device would, and prints events as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("--speed", type=float, default=1.0, help="1 = real time")
    options = parser.parse_args()
    rate = audio_rate(options.input)
    with MediaFile(options.input) as drivers:
        runtime = edgeaff.Runtime(
            video=edgeaff.PushVideo() if drivers.has_video else None,
            audio=edgeaff.PushAudio(sample_rate_hz=rate) if rate else None,
        )
        with runtime:
            dropped, start = 0, time.monotonic()
            for unit in drivers:
                time.sleep(max(0.0, start + unit.pts_ns / 1e9 / options.speed - time.monotonic()))
                if isinstance(unit, VideoFrame):
                    dropped += runtime.push_frame(unit.image, pts_ns=unit.pts_ns)
                else:
                    dropped += runtime.push_audio(unit.samples, pts_ns=unit.pts_ns)
                while (event := runtime.poll()) is not None:
                    show(event)
            runtime.finish()
            for event in runtime:
                show(event)
        print(f"{dropped} inputs dropped because this machine was busy")


def show(event: edgeaff.AffectEvent) -> None:
    """Prints every tenth event."""
    if event.seq % 10 == 0:
        print(f"{event.pts_ns / 1e9:6.2f} s  {event.status:<8} valence {event.valence}  arousal {event.arousal}")


if __name__ == "__main__":
    main()
