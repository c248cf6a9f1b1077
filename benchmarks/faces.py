"""Compares face detectors on the fixed list of real frames: recall by face size, false boxes, jitter, tracks, latency.

python benchmarks/faces.py --json benchmarks/results/faces.json
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # makes `benchmarks` and `recipes` importable from a script

import argparse
import itertools
import json
import math
import os
import platform
import time
from typing import Any

import numpy as np

from benchmarks.face_media import CLIPS, FACE_FREE_CLIPS, Consensus, Item, UltraLightDetector, load_items, read_clip
from edgeaff.backends.engines import import_onnxruntime
from edgeaff.detection.boxes import MATCH_IOU, pair_cover, pair_iou
from edgeaff.detection.detector import FaceDetector, load_detector
from edgeaff.detection.tracker import FaceTracker
from edgeaff.machine import stamp
from edgeaff.ops.crop_resize import crop_resize
from edgeaff.types import FaceDetection

SIZES = {"large": (60.0, math.inf), "middle": (30.0, 60.0), "small": (16.0, 30.0)}
"""Face height in pixels where the image's longer side is 640."""
STILL_CLIPS = tuple(clip for clip in CLIPS if clip.startswith("av/grid"))
LATENCY_ROUNDS = 60


def wilson_interval(hits: int, count: int) -> list[float] | None:
    """Returns the 95 % interval of a share, or None where nothing was counted."""
    if not count:
        return None
    z = 1.959964
    share, square = hits / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
    return [round(max(middle - half, 0.0), 4), round(min(middle + half, 1.0), 4)]


def poisson_interval(events: int) -> tuple[float, float]:
    """Returns the exact 95 % interval of a Poisson mean after this many events."""

    def tail(mean: float, most: int) -> float:
        return sum(math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(most + 1))

    def solve(most: int, target: float) -> float:
        low, high = 1e-9, 10.0 * (events + 3)
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if tail(middle, most) > target else (low, middle)
        return low

    return (solve(events - 1, 0.975) if events else 0.0), solve(events, 0.025)


def match_faces(item: Item, found: list[FaceDetection]) -> tuple[np.ndarray, int]:
    """Returns which faces were found, (n,) bool, and how many boxes are false."""
    boxes = np.array([face.box for face in found], np.float32).reshape(-1, 4)
    hit, free = np.zeros(len(item.faces), bool), np.ones(len(boxes), bool)
    if len(boxes) and len(item.faces):
        overlap = pair_iou(item.faces, boxes)
        for flat in np.argsort(-overlap, axis=None):
            face, box = divmod(int(flat), len(boxes))
            if overlap[face, box] >= MATCH_IOU and not hit[face] and free[box]:
                hit[face], free[box] = True, False
    wrong = sum(not _lies_in(box, item.ignore) for box in boxes[free])
    return hit, wrong


def _lies_in(box: np.ndarray, regions: np.ndarray) -> bool:
    if not len(regions):
        return False
    return bool(pair_cover(box[None], regions).max() > 0.5 or pair_iou(box[None], regions).max() >= MATCH_IOU)


def measure_accuracy(items: list[Item], detector: FaceDetector) -> dict[str, Any]:
    """Returns recall by size and false boxes per 100 images, each with its 95 % interval."""
    heights: list[float] = []
    hits: list[bool] = []
    fired: list[str] = []
    false = false_free = 0
    for item in items:
        found, wrong = match_faces(item, detector.detect(item.image))
        scale = 640 / max(item.image.shape[:2])
        heights.extend((item.faces[:, 3] - item.faces[:, 1]) * scale)
        hits.extend(found)
        false += wrong
        if wrong:
            fired.append(f"{item.name}: {wrong}")
        false_free += wrong if item.face_free else 0
    height, hit = np.array(heights), np.array(hits, dtype=bool)
    rows: dict[str, Any] = {}
    for name, (low, high) in SIZES.items():
        chosen = (height >= low) & (height < high)
        found_faces, count = int(hit[chosen].sum()), int(chosen.sum())
        recall = round(found_faces / count, 4) if count else None
        rows[name] = {
            "faces": count,
            "found": found_faces,
            "recall": recall,
            "interval": wilson_interval(found_faces, count),
        }
    scale = 100 / len(items)
    interval = [round(value * scale, 3) for value in poisson_interval(false)]
    return {
        "recall": rows,
        "false_boxes": false,
        "false_per_100": round(false * scale, 3),
        "false_interval": interval,
        "false_on_face_free": false_free,
        "false_where": fired,
    }


def measure_jitter(media: Path, detectors: dict[str, FaceDetector]) -> dict[str, dict[str, float]]:
    """Returns the trembling of the box on still heads, in per cent of the face size per frame (medians of clips)."""
    rows: dict[str, list[list[float]]] = {name: [] for name in detectors}
    for clip in STILL_CLIPS:
        frames = list(read_clip(media / clip))
        for name, detector in detectors.items():
            found = [detector.detect(image) for _, image in frames]
            boxes = [np.array(faces[0].box) for faces in found if faces]
            rows[name].append(_jitter(np.array(boxes)))
    names = ("center_percent", "size_percent", "iou_p5")
    return {
        name: {key: round(float(np.median(column)), 4) for key, column in zip(names, np.array(values).T, strict=True)}
        for name, values in rows.items()
    }


def _jitter(boxes: np.ndarray) -> list[float]:
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    scale = np.sqrt(np.prod(size, axis=1))[1:]
    moved = np.linalg.norm(np.diff(center, axis=0), axis=1) / scale
    grown = np.abs(np.diff(np.sqrt(np.prod(size, axis=1)))) / scale
    overlap = [pair_iou(a[None], b[None])[0, 0] for a, b in itertools.pairwise(boxes)]
    return [100 * float(np.median(moved)), 100 * float(np.median(grown)), float(np.percentile(overlap, 5))]


def measure_tracks(media: Path, weights: Path, detector: FaceDetector) -> dict[str, Any]:
    """Returns the tracker's output on whole clips, per detector stride.

    covered: share of face-seconds; every third frame is looked at, each large face of the consensus counts, and is covered
    when a usable track overlaps it. false_seconds: time with a usable track in clips without any face (144 s in all).
    """
    consensus = Consensus(weights)
    totals = {stride: [0.0, 0.0, 0.0] for stride in (1, 3, 5)}
    for clip in CLIPS:
        trackers = {stride: FaceTracker(max_faces=20) for stride in totals}
        last = None
        for number, (pts_ns, image) in enumerate(read_clip(media / clip)):
            if last is not None and pts_ns <= last:
                continue
            seconds, last = (0.0 if last is None else (pts_ns - last) / 1e9), pts_ns
            face_free = clip in FACE_FREE_CLIPS
            faces = consensus.find(image)[0] if number % 3 == 0 and not face_free else None
            found = detector.detect(image)
            for stride, tracker in trackers.items():
                shown = tracker.update(pts_ns, image, found if number % stride == 0 else None)
                if face_free:
                    totals[stride][2] += seconds * bool(shown)
                elif faces is not None:
                    _count_covered(faces, image, shown, seconds, totals[stride])
    return {
        f"stride_{stride}": {"covered": round(covered / total, 4), "false_seconds": round(false, 2)}
        for stride, (covered, total, false) in totals.items()
    }


def _count_covered(faces: np.ndarray, image: np.ndarray, shown: list, seconds: float, total: list[float]) -> None:
    tall = (faces[:, 3] - faces[:, 1]) * 640 / max(image.shape[:2]) >= SIZES["large"][0]
    boxes = np.array([face.box for face in shown], np.float32).reshape(-1, 4)
    for face in faces[tall]:
        total[1] += seconds
        total[0] += seconds * bool(len(boxes) and pair_iou(face[None], boxes).max() >= MATCH_IOU)


def measure_latency(items: list[Item], detectors: dict[str, FaceDetector]) -> dict[str, dict[str, float]]:
    """Returns milliseconds per 640 x 360 frame, resize and post-processing included; detectors take turns.

    Wall time, and processor time of all threads, which other work on the machine does not stretch.
    """
    frames = []
    for item in items[:: max(len(items) // 20, 1)]:
        height, width = item.image.shape[:2]
        box = (0.0, 0.0, float(width), float(min(height, width * 9 / 16)))
        frames.append(crop_resize(item.image, box, width=640, height=360))
    wall: dict[str, list[float]] = {name: [] for name in detectors}
    processor: dict[str, list[float]] = {name: [] for name in detectors}
    for turn in range(LATENCY_ROUNDS + 3):
        for name, detector in detectors.items():
            started, busy = time.perf_counter(), time.process_time()
            detector.detect(frames[turn % len(frames)])
            processor[name].append(1000 * (time.process_time() - busy))
            wall[name].append(1000 * (time.perf_counter() - started))
    return {
        name: {
            "median_ms": round(float(np.median(wall[name][3:])), 3),
            "p95_ms": round(float(np.percentile(wall[name][3:], 95)), 3),
            "processor_median_ms": round(float(np.median(processor[name][3:])), 3),
        }
        for name in detectors
    }


def load_detectors(weights: Path, ours: str = "ssd") -> dict[str, FaceDetector]:
    """Returns ours and its peers by the name in the table."""
    return {
        "ours@320": load_detector(ours),
        "YuNet-n@320": load_detector(f"yunet:{weights / 'yunet_n_dynamic.onnx'}"),
        "OpenCV SSD@300": load_detector(f"opencv_ssd:{weights / 'opencv_face_detector_uint8.pb'}"),
        "ULFG RFB@320": UltraLightDetector(weights / "ulf_version-RFB-320.onnx"),
    }


def compare(shared: Path, *, ours: str = "ssd", tracks: bool = True) -> dict[str, Any]:
    """Returns the whole comparison.

    Args:
        shared: folder that holds `data/media` and `data/weights`.
        ours: what `load_detector` makes our detector from.
        tracks: also measure the tracker on whole clips (about a minute).
    """
    media, weights = shared / "data" / "media", shared / "data" / "weights"
    items = load_items(media, weights)
    detectors = load_detectors(weights, ours)
    rows = {name: measure_accuracy(items, detector) for name, detector in detectors.items()}
    for name, value in measure_latency(items, detectors).items():
        rows[name]["latency"] = value
    for name, value in measure_jitter(media, detectors).items():
        rows[name]["jitter"] = value
    if tracks:
        for name in ("ours@320", "YuNet-n@320"):
            rows[name]["tracks"] = measure_tracks(media, weights, detectors[name])
    return {
        "images": len(items),
        "face_free_images": sum(item.face_free for item in items),
        "truth": "consensus of YuNet-n@640 with OpenCV SSD or ULFG RFB; YuNet's own rows are flattered by it",
        "detectors": rows,
    }


def main() -> None:
    """Prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("EDGEAFF_SHARED", "../shared")))
    parser.add_argument("--detector", default="ssd", help="ours, as load_detector takes it (default: the bundle's)")
    parser.add_argument("--no-tracks", action="store_true", help="leave out the tracker on whole clips")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = compare(args.shared, ours=args.detector, tracks=not args.no_tracks)
    result = {**stamp(), **result}
    result["versions"] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": import_onnxruntime().__version__,
    }
    for name, row in result["detectors"].items():
        recall = "  ".join(
            f"{size} {values['recall']} {values['interval']} of {values['faces']}"
            for size, values in row["recall"].items()
        )
        print(f"{name:15s} {recall}")
        print(
            f"{'':15s} false per 100: {row['false_per_100']} {row['false_interval']}, face-free: {row['false_on_face_free']}, "
            f"{row['latency']}, {row['jitter']}, {row.get('tracks', '')}"
        )
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
