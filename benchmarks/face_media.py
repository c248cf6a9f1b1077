"""The fixed list of frames and images on which face detectors are compared, and the faces that are on them.

Truth is a consensus of three detector families (YuNet-n at 640, OpenCV's SSD, Ultra-Light RFB), none of which is ours: a
face is what YuNet and at least one other support; what one family alone, or two without YuNet, hold for a face is left
open. Where it is known that no face is in an image (backs, cartoon, dogs, noise, texture) every box is false.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.detection.boxes import merge_candidates, pair_iou
from edgeaff.detection.detector import FaceDetector, load_detector
from edgeaff.detection.ssd import make_detections
from edgeaff.ops.crop_resize import crop_resize
from edgeaff.types import FaceDetection

CLIPS = {
    "av/grid_bbaf2n.mpg": 8,
    "av/grid_brbk7n.mpg": 8,
    "av/grid_lbax4n.mpg": 8,
    "av/grid_lbbc2a.mpg": 8,
    "av/grid_lrwp9a.mpg": 8,
    "av/portrait1080_hevc.mp4": 25,
    "av/retalk1_vfr.mp4": 12,
    "av/retalk4.mp4": 15,
    "av/weekly_address_f.mp4": 18,
    "face/asl_again.mkv": 6,
    "face/backs_no_face_139s.mp4": 40,
    "face/close_greenscreen.mp4": 8,
    "face/crowd_1080p.mp4": 10,
    "face/expressions_close.mp4": 30,
    "face/expressions_woman.mp4": 40,
    "face/face_then_noface_vfr.mov": 8,
    "face/no_face_cartoon.mp4": 5,
    "face/occlusion_emotions.mp4": 24,
}
"""Clip -> every n-th decoded frame is on the list."""
FACE_FREE_CLIPS = ("face/backs_no_face_139s.mp4", "face/no_face_cartoon.mp4")
IMAGES = (
    "face/multi_face.jpg",
    "face/single_face.jpg",
    "face/multiface_press.jpg",
    "face/dlib_2008_002079.jpg",
    "face/dlib_2008_001009.jpg",
    "face/dlib_bald_guys.jpg",
    "face/dlib_dogs.jpg",
)
FACE_FREE_IMAGES = ("face/dlib_dogs.jpg",)
SUPPORT_IOU = 0.4
YUNET_SCORE, SSD_SCORE, ULTRA_SCORE = 0.7, 0.5, 0.7


@dataclass(frozen=True, slots=True)
class Item:
    """One image of the list.

    Attributes:
        name: clip and frame number, or file.
        clip: what it belongs to.
        image: (H, W, 3) uint8 RGB.
        faces: (n, 4) float32 boxes.
        ignore: (m, 4) float32 boxes that are neither right nor wrong.
        face_free: it is known that there is no face.
    """

    name: str
    clip: str
    image: np.ndarray
    faces: np.ndarray
    ignore: np.ndarray
    face_free: bool


class UltraLightDetector:
    """Ultra-Light-Fast-Generic-Face-Detector (RFB or slim, 320 x 240) by path; a peer in benchmarks only."""

    id = "ultra-light"

    def __init__(self, path: Path, *, score_threshold: float = ULTRA_SCORE) -> None:
        self._graph = load_graph(path.read_bytes())
        self._threshold = score_threshold

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Returns the faces of a (H, W, 3) uint8 RGB image, best first."""
        height, width = image.shape[:2]
        small = crop_resize(image, (0.0, 0.0, float(width), float(height)), width=320, height=240)
        pixels = ((small.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]
        outputs = self._graph.run({"input": np.ascontiguousarray(pixels)})
        scores = outputs["scores"][0, :, 1]
        chosen = scores > self._threshold
        boxes = outputs["boxes"][0, chosen] * np.array([width, height, width, height], np.float32)
        boxes, scores, _ = merge_candidates(boxes, scores[chosen], boxes, suppress_iou=0.3, vote_iou=2.0)
        return make_detections(boxes, scores, None)


def read_clip(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (pts_ns, (H, W, 3) uint8 RGB) of each frame that has a time."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            if frame.pts is not None and stream.time_base is not None:
                yield int(frame.pts * stream.time_base * 1_000_000_000), frame.to_ndarray(format="rgb24")


def made_up_images() -> Iterator[tuple[str, np.ndarray]]:
    """Yields named face-free images: noise of four grains, stripes, a checkerboard, a ramp and flat gray."""
    rng = np.random.default_rng(7)
    ys, xs = np.mgrid[:360, :640]
    for grain in (1, 4, 16, 40):
        cells = rng.integers(0, 256, (360 // grain + 1, 640 // grain + 1, 3), dtype=np.uint8)
        yield f"noise_{grain}", np.repeat(np.repeat(cells, grain, 0), grain, 1)[:360, :640]
    for name, values in (
        ("stripes", 127 + 120 * np.sin(xs / 9 + ys / 30)),
        ("checkerboard", 255.0 * ((xs // 32 + ys // 32) % 2)),
        ("ramp", xs * 255 / 640),
        ("flat", np.full((360, 640), 128.0)),
        ("rings", 127 + 120 * np.sin(np.hypot(xs - 320, ys - 180) / 7)),
    ):
        yield name, np.repeat(values.astype(np.uint8)[..., None], 3, 2)


class Consensus:
    """Finds the faces that the three families agree on."""

    def __init__(self, weights: Path) -> None:
        self._yunet = load_detector(
            f"yunet:{weights / 'yunet_n_dynamic.onnx'}", score_threshold=0.5, input_long_side=640
        )
        self._ssd = load_detector(f"opencv_ssd:{weights / 'opencv_face_detector_uint8.pb'}", score_threshold=0.3)
        self._ultra = UltraLightDetector(weights / "ulf_version-RFB-320.onnx", score_threshold=0.5)

    def find(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns faces (n, 4) and open boxes (m, 4) of an image."""
        yunet, ssd, ultra = (_boxes(detector, image) for detector in (self._yunet, self._ssd, self._ultra))
        faces: list[np.ndarray] = []
        unsure: list[np.ndarray] = []
        for box, score in zip(*yunet, strict=True):
            votes = sum(
                bool(len(other)) and bool(((pair_iou(box[None], other)[0] >= SUPPORT_IOU) & (scores >= least)).any())
                for (other, scores), least in ((ssd, SSD_SCORE), (ultra, ULTRA_SCORE))
            )
            (faces if score >= YUNET_SCORE and votes else unsure).append(box)
        known = np.array(faces + unsure, np.float32).reshape(-1, 4)
        for boxes, _ in (ssd, ultra):
            unsure += [box for box in boxes if not len(known) or pair_iou(box[None], known).max() < SUPPORT_IOU]
        return np.array(faces, np.float32).reshape(-1, 4), np.array(unsure, np.float32).reshape(-1, 4)


def _boxes(detector: FaceDetector, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = detector.detect(image)
    boxes = np.array([face.box for face in found], np.float32).reshape(-1, 4)
    return boxes, np.array([face.score for face in found], np.float32)


def read_image(path: Path) -> np.ndarray:
    """Returns an image file as (H, W, 3) uint8 RGB."""
    return next(image for _, image in _decode_image(path))


def _decode_image(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    import av

    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield 0, frame.to_ndarray(format="rgb24")


def load_items(media: Path, weights: Path) -> list[Item]:
    """Returns the whole list with its faces.

    Args:
        media: folder with `av` and `face`.
        weights: folder with the third-party detectors.
    """
    consensus = Consensus(weights)
    items = []

    def add(name: str, clip: str, image: np.ndarray, face_free: bool) -> None:
        none = np.zeros((0, 4), np.float32)
        faces, unsure = (none, none) if face_free else consensus.find(image)
        items.append(Item(name, clip, image, faces, unsure, face_free))

    for clip, step in CLIPS.items():
        for number, (_, image) in enumerate(read_clip(media / clip)):
            if number % step == 0:
                add(f"{clip}#{number}", clip, image, clip in FACE_FREE_CLIPS)
    for file in IMAGES:
        add(file, file, read_image(media / file), file in FACE_FREE_IMAGES)
    for name, image in made_up_images():
        add(name, "made up", image, True)
    return items
