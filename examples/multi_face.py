"""Several people in one image: their own events per face, reported apart by track_id.

python examples/multi_face.py clip.mp4 [--faces 4]
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import edgeaff


def main() -> None:
    """Prints what each face came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("--faces", type=int, default=4, help="most faces at a time")
    options = parser.parse_args()
    people: dict[int, list[edgeaff.AffectEvent]] = defaultdict(list)
    with edgeaff.Runtime(video=options.input, max_faces=options.faces) as runtime:
        for event in runtime:
            if event.face is not None:
                people[event.face.track_id].append(event)
    for track_id, events in sorted(people.items()):
        stated = [event for event in events if event.valence is not None and event.arousal is not None]
        seconds = (events[-1].pts_ns - events[0].pts_ns) / 1e9
        mean = sum(event.valence for event in stated) / len(stated) if stated else float("nan")
        print(f"face {track_id}: from {events[0].pts_ns / 1e9:.1f} s for {seconds:.1f} s, mean valence {mean:+.2f}")
    print(f"{len(people)} faces")


if __name__ == "__main__":
    main()
