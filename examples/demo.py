"""`make demo`: a face and a voice go in, valence and arousal come out. `make demo-live`: the same on a page in the browser."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from edgeaff import circumplex
from edgeaff.cli.main import main as edgeaff_command


def summarize(path: Path) -> str:
    """Returns a few lines: one per second or so, from the events file."""
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [f"{'time':>6}  {'status':<8} {'valence':>8} {'arousal':>8}  reads as"]
    for event in events[30 :: max(1, len(events) // 12)]:
        stated = event["valence"] is not None and event["arousal"] is not None
        values = (
            f"{event['valence']:>8.2f} {event['arousal']:>8.2f}  {circumplex(event['valence'], event['arousal'])}"
            if stated
            else ""
        )
        lines.append(f"{event['pts_ns'] / 1e9:>5.1f}s  {event['status']:<8} {values}")
    return "\n".join(lines)


def run(source: str, folder: Path) -> int:
    """Returns the exit code of `edgeaff run` on the source, and states where the results are."""
    folder.mkdir(exist_ok=True)
    events, table, image = folder / "events.jsonl", folder / "events.csv", folder / "affect.png"
    code = edgeaff_command(["run", source, "--output", str(events), "--output", str(table), "--plot", str(image)])
    if code == 0:
        print(summarize(events))
        print(f"\nEvery tick: {events} and {table}\nThe image: {image}")
    return code


def show(source: str, address: str) -> int:
    """Returns the exit code of `edgeaff run --live`, which ends with Ctrl-C. A file is played again and again."""
    is_file = Path(source).exists()
    return edgeaff_command(["run", f"paced:{source}?loop=1" if is_file else source, "--live", address])


def demo() -> int:
    """Returns the exit code for the user's input, or for a clip made for the purpose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", help="a media file or a URI such as camera:0; default: a clip made now")
    parser.add_argument("--live", metavar="[HOST:]PORT", help="show a live page there and go on until Ctrl-C")
    options = parser.parse_args()
    if options.input:
        return show(options.input, options.live) if options.live else run(options.input, Path("demo"))
    from demo_clip import write_clip

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "portrait.mp4"
        write_clip(clip)
        if options.live:
            return show(str(clip), options.live)
        return run(str(clip), Path("demo"))


if __name__ == "__main__":
    sys.exit(demo())
