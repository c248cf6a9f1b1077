"""Who speaks and who comes back, on real clips: AUC, the voice in the face that is silent, identity, and the cost of a tick.

EDGEAFF_SHARED=../shared python benchmarks/people.py --json benchmarks/results/people_speaker.json

Talking clips are judged against the same clips with their audio shifted, and against faces that are silent while the audio of the
talking clips is played; the GRID clips, on which the constants were fitted, judge nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # makes `benchmarks` and `recipes` importable from a script

import argparse
import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from edgeaff.bundle import ModelBundle
from edgeaff.capture.open import open_source
from edgeaff.machine import stamp
from edgeaff.people.identity import AWAY_NS, Identities
from edgeaff.people.speaker import ActiveSpeaker
from edgeaff.preprocess import FaceInput, Preprocessor, TickInput, parts_from_bundle
from edgeaff.session import Session
from edgeaff.types import AffectEvent, FaceBox, TrackedFace, VideoFrame

TALKING = ("retalk1_vfr.mp4", "retalk4.mp4", "weekly_address_f.mp4", "portrait1080_hevc.mp4")
NOT_IN_TIME = "portrait1080_hevc.mp4"  # its audio follows its mouth at no lag, even for a fit to the clip itself
SILENT = (
    "occlusion_emotions.mp4",
    "expressions_woman.mp4",
    "expressions_close.mp4",
    "close_greenscreen.mp4",
    "crowd_1080p.mp4",
)
MOODS = ("NEU", "ANG")
LISTENERS = ("close_greenscreen.mp4", "expressions_close.mp4")
SHIFT_STEP, LEAST_SHIFT = 15, 30  # ticks
TICK_NS = 1_000_000_000 // 30
SIDE_PX, AWAY_TICKS, LEAST_TICKS = 360, 150, 75


def read_ticks(path: Path, bundle: ModelBundle, *, max_faces: int = 1) -> list[TickInput]:
    """Returns the ticks of a clip, as a Session has them.

    Args:
        path: the media file.
        bundle: whose preprocessing.
        max_faces: most faces per tick.
    """
    with open_source(path) as source:
        parts = parts_from_bundle(bundle, video=True, audio=source.has_audio)
        front = Preprocessor(parts, audio=source.has_audio, max_faces=max_faces, live=False)
        ticks: list[TickInput] = []
        for item in source:
            if isinstance(item, VideoFrame):
                ticks += front.push_frame(item.image, pts_ns=item.pts_ns)
            else:
                ticks += front.push_audio(item.samples, pts_ns=item.pts_ns, sample_rate_hz=item.sample_rate_hz)
        return ticks + front.finish()


def tracks_of(ticks: list[TickInput], *, least: int = LEAST_TICKS) -> list[list[TickInput]]:
    """Returns one list of ticks per track that is in view for long enough, with that face alone."""
    by_track: dict[int, list[TickInput]] = {}
    for tick in ticks:
        for face in tick.faces:
            by_track.setdefault(face.face.track_id, []).append(replace(tick, faces=(face,)))
    return [found for found in by_track.values() if len(found) >= least]


def probabilities(faces: list[TickInput], voice: list[TickInput], shift: int, bundle: ModelBundle) -> list[float]:
    """Returns the probability of every tick with speech, of faces with the voice of other ticks, shifted around."""
    speaker, found = ActiveSpeaker(bundle.spec), []
    for number, tick in enumerate(faces):
        heard = voice[(number + shift) % len(voice)]
        (value,) = speaker.push(replace(tick, lld=heard.lld, audio=heard.audio)).values()
        if value is not None and heard.audio is not None:
            found.append(value)
    return found


def auc(positive: Iterable[float], negative: Iterable[float]) -> float:
    """Returns the share of pairs whose positive value is above the negative one, ties counting half."""
    above, below = np.sort(list(positive)), np.sort(list(negative))
    less, equal = np.searchsorted(below, above, "left"), np.searchsorted(below, above, "right")
    return float((less + equal).sum() / 2 / (len(above) * len(below)))


def judge_speaker(media: Path, bundle: ModelBundle) -> dict[str, Any]:
    """Returns AUC per clip and over all."""
    talking = {name: read_ticks(media / "av" / name, bundle) for name in TALKING}
    talking = {name: [tick for tick in ticks if tick.faces] for name, ticks in talking.items()}
    silent = [track for name in SILENT for track in tracks_of(read_ticks(media / "face" / name, bundle, max_faces=4))]
    spoken = {name: probabilities(ticks, ticks, 0, bundle) for name, ticks in talking.items()}
    shifted = {
        name: [
            value
            for shift in range(LEAST_SHIFT, len(ticks) - LEAST_SHIFT + 1, SHIFT_STEP)
            for value in probabilities(ticks, ticks, shift, bundle)
        ]
        for name, ticks in talking.items()
    }
    quiet = [
        value for track in silent for voice in talking.values() for value in probabilities(track, voice, 0, bundle)
    ]

    def over(names: Iterable[str]) -> dict[str, float]:
        yes = [value for name in names for value in spoken[name]]
        late = [value for name in names for value in shifted[name]]
        return {
            "shifted": round(auc(yes, late), 4),
            "silent": round(auc(yes, quiet), 4),
            "both": round(auc(yes, [*late, *quiet]), 4),
        }

    return {
        "clips": {name: over([name]) for name in TALKING},
        "in_time": over([name for name in TALKING if name != NOT_IN_TIME]),
        "all": over(TALKING),
        "silent_tracks": len(silent),
        "ticks": sum(len(values) for values in spoken.values()),
    }


def square(image: np.ndarray) -> np.ndarray:
    """Returns the middle of an image as (360, 360, 3)."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left, steps = (height - side) // 2, (width - side) // 2, np.arange(SIDE_PX) * side // SIDE_PX
    return image[top : top + side, left : left + side][steps][:, steps]


def read_media(path: Path) -> list[Any]:
    """Returns frames and chunks of a file in the order of time."""
    with open_source(path) as source:
        return [VideoFrame(item.pts_ns, item.image.copy()) if isinstance(item, VideoFrame) else item for item in source]


def beside(talker: list[Any], listener: list[Any], **options: Any) -> list[AffectEvent]:
    """Returns the events of the face on the right, while the one on the left talks."""
    frames = [item.image for item in listener if isinstance(item, VideoFrame)]
    session, events, count = Session(max_faces=2, live=False, **options), [], 0
    for item in talker:
        if isinstance(item, VideoFrame):
            both = np.concatenate([square(item.image), square(frames[count % len(frames)])], axis=1)
            events += session.push_frame(both, pts_ns=item.pts_ns)
            count += 1
        else:
            events += session.push_audio(item.samples, pts_ns=item.pts_ns, sample_rate_hz=item.sample_rate_hz)
    events += session.finish()
    return [event for event in events if event.face is not None and event.face.box.x0 + event.face.box.x1 > 2 * SIDE_PX]


def judge_bleed(data: Path) -> dict[str, float]:
    """Returns by how much the arousal of a silent face moves at most, unsmoothed, from calm to angry voice beside it."""
    moved = {}
    for name, options in (("without", {}), ("with", {"active_speaker": True})):
        worst = 0.0
        for listener in LISTENERS:
            silent = read_media(data / "media" / "face" / listener)
            calm, angry = (
                beside(read_media(data / "cremad_av" / f"1001_DFA_{mood}_XX.flv"), silent, **options) for mood in MOODS
            )
            pairs = [(a.arousal_raw, b.arousal_raw) for a, b in zip(calm, angry, strict=False)]
            worst = max(worst, *(abs(a - b) for a, b in pairs if a is not None and b is not None))
        moved[name] = round(worst, 4)
    return moved


def returns(stay: list[FaceInput], leave: list[FaceInput], identities: Identities, *, both: bool) -> dict[int, int]:
    """Returns the subject that each person got after 5 s out of view, by the subject it was before: 0 stays, 1 leaves.

    Args:
        stay: faces of the person with track 0.
        leave: faces of the person with track 1.
        identities: not used before.
        both: whether both leave, and come back in the other order.
    """
    cut = [len(person) * 3 // 5 for person in (stay, leave)]
    named: dict[int, int] = {}
    total = max(*cut, 90)
    for number in range(total + AWAY_TICKS + 60):
        faces = []
        away, back = total <= number < total + AWAY_TICKS, number >= total + AWAY_TICKS
        for index, person in enumerate((stay, leave)):
            moved = index == 1 or both
            if moved and away:
                continue
            part = person[cut[index] :] if moved and back else person[: cut[index]]
            track = (11 - index if both else 12) if moved and back else index
            faces.append(_as_track(part[number % len(part)], track))
        tick = TickInput(number, number * TICK_NS, number == 0, tuple(faces), number * TICK_NS, None, None, None, False)
        found = identities.push(tick).faces
        if back:
            for before, after in zip(faces, found, strict=True):
                if before.face.track_id >= 10:
                    named[(11 - before.face.track_id) if both else 1] = after.face.track_id
    return named


def _as_track(face: FaceInput, track_id: int) -> FaceInput:
    return replace(face, face=TrackedFace(track_id, FaceBox(0, 0, 9, 9), 0.9))


def judge_identity(data: Path, bundle: ModelBundle) -> dict[str, Any]:
    """Returns rates over all pairs of people: one leaves for 5 s, or both do and come back in the other order."""
    clips = [*sorted((data / "media" / "av").iterdir()), *(data / "media" / "face" / name for name in SILENT[:4])]
    people = [max(tracks_of(read_ticks(path, bundle), least=1), key=len) for path in clips]
    faces = [[tick.faces[0] for tick in ticks] for ticks in people]
    counts = {"one_leaves": [0, 0, 0], "both_leave": [0, 0, 0]}  # right, another's, new
    for one, stay in enumerate(faces):
        for other, leave in enumerate(faces):
            if one == other:
                continue
            for name in counts:
                for was, now in returns(stay, leave, Identities(), both=name == "both_leave").items():
                    counts[name][0 if now == was else 1 if now in (0, 1) else 2] += 1
    rates = {
        name: dict(zip(("returned", "swapped", "new"), [round(part / sum(row), 4) for part in row], strict=True))
        for name, row in counts.items()
    }
    return {"people": len(faces), "away_seconds": AWAY_TICKS / 30, "out_of_view_seconds": AWAY_NS / 1e9, **rates}


def one_pass(items: list[Any], **options: Any) -> float:
    """Returns the processor time per tick of one session over a clip, milliseconds."""
    session = Session(live=False, **options)
    start, count = time.process_time(), 0
    for item in items:
        if isinstance(item, VideoFrame):
            count += len(session.push_frame(item.image, pts_ns=item.pts_ns))
        else:
            count += len(session.push_audio(item.samples, pts_ns=item.pts_ns, sample_rate_hz=item.sample_rate_hz))
    return (time.process_time() - start) / (count + len(session.finish())) * 1e3


def judge_cost(items: list[Any], *, rounds: int) -> dict[str, Any]:
    """Returns ratios of processor time to a session without options, each the median of rounds that took turns."""
    kinds: dict[str, dict[str, Any]] = {
        "off": {}, "active_speaker": {"active_speaker": True}, "identity": {"identity": True},
        "both": {"active_speaker": True, "identity": True},
    }  # fmt: skip
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, options in kinds.items():
            taken[name].append(one_pass(items, **options))
    ratios = {
        name: round(float(np.median(np.divide(values, taken["off"]))), 4)
        for name, values in taken.items()
        if name != "off"
    }
    return {"rounds": rounds, "off_ms": round(float(np.median(taken["off"])), 3), "ratio": ratios}


def main() -> None:
    """Prints the result, and writes it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="passes per option for the cost (default 15)")
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    data = Path(os.environ.get("EDGEAFF_SHARED", "../shared")) / "data"
    bundle = ModelBundle.load()
    result = {
        "speaker": judge_speaker(data / "media", bundle),
        "bleed": judge_bleed(data),
        "identity": judge_identity(data, bundle),
        "cost": judge_cost(read_media(data / "media" / "av" / "weekly_address_f.mp4"), rounds=options.rounds),
    }
    text = json.dumps({**stamp(), **result}, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
