"""Live: the camera and the microphone of this machine, a line a second; Ctrl-C ends it.

python examples/live_camera.py [--video camera:0] [--audio mic:default]     # or udp://, rtsp://, a file
"""

from __future__ import annotations

import argparse

import edgeaff


def main() -> None:
    """Prints one event a second, and what the sources report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", default="camera:0")
    parser.add_argument("--audio", default=None, help="for example mic:default; a file brings its own audio")
    options = parser.parse_args()
    runtime = edgeaff.Runtime(video=options.video, audio=options.audio)
    runtime.on_first_face(
        lambda _: print("A face is seen: its valence and arousal are being estimated on this device.")
    )
    runtime.on_status(lambda status: print(f"{status.source}: {status.kind}. {status.message}"))
    try:
        with runtime:
            for event in runtime:
                if event.seq % 30 == 0:
                    print(describe(event))
    except KeyboardInterrupt:
        print(f"\n{runtime.stats().events} events")


def describe(event: edgeaff.AffectEvent) -> str:
    """Returns an event as a line."""
    if event.valence is None or event.arousal is None:
        return f"{event.pts_ns / 1e9:7.1f} s  {event.status}"
    label = edgeaff.circumplex(event.valence, event.arousal)
    late = "" if event.latency_ms is None else f"  {event.latency_ms:.0f} ms after the frame"
    return f"{event.pts_ns / 1e9:7.1f} s  valence {event.valence:+.2f}  arousal {event.arousal:+.2f}  {label}{late}"


if __name__ == "__main__":
    main()
