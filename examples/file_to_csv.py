"""A file becomes a table: one line per tick in CSV, and the mean of what was stated.

python examples/file_to_csv.py clip.mp4 clip.csv
"""

from __future__ import annotations

import argparse

import edgeaff


def main() -> None:
    """Analyzes one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="video or audio file")
    parser.add_argument("output", help="CSV file to write")
    options = parser.parse_args()
    table = edgeaff.analyze(options.input)
    table.to_csv(options.output)
    stated = [event for event in table.events if event.valence is not None and event.arousal is not None]
    if not stated:
        print(f"{options.input}: {len(table.events)} ticks, no face and no voice that a number could rest on.")
        return
    valence = sum(event.valence for event in stated) / len(stated)
    arousal = sum(event.arousal for event in stated) / len(stated)
    print(
        f"{options.input}: {len(stated)} of {len(table.events)} ticks, mean valence {valence:+.2f}, arousal {arousal:+.2f}"
    )


if __name__ == "__main__":
    main()
