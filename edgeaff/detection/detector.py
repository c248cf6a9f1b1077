"""The protocol of face detectors, and `load_detector`: from a name or path to one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from edgeaff.backends.face import load_face_graph
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.parsing.boundary import boundary, read_bounded
from edgeaff.parsing.json_text import parse_json
from edgeaff.spec import PreprocessSpec
from edgeaff.types import FaceBox, FaceDetection

MOST_CARD_BYTES, MOST_DETECTOR_BYTES = 1 << 22, 1 << 28
NAMES = ("ssd", "ssd:PATH", "yunet:PATH", "opencv_ssd:PATH", "full_frame", "cropped", "fixed:X0,Y0,X1,Y1")


@runtime_checkable
class FaceDetector(Protocol):
    """Finds faces in one image.

    Attributes:
        id: names the distribution of boxes; recorded in bundles, and a bundle rejects the boxes of another one.
    """

    id: str

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Returns the faces of one (H, W, 3) uint8 RGB image, best first."""
        ...


class FixedDetector:
    """Returns the same box for every image; None is the whole image.

    Attributes:
        id: "fixed" or "full_frame".
    """

    def __init__(self, box: Sequence[float] | None = None) -> None:
        """Checks the box.

        Args:
            box: x0, y0, x1, y1 in pixels; finite, x1 > x0 and y1 > y0, else ArgumentError.
        """
        self.id = "full_frame" if box is None else "fixed"
        self._box = None if box is None else _check_box(box)

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Returns the one box with score 1."""
        height, width = image.shape[:2]
        box = FaceBox(0.0, 0.0, float(width), float(height)) if self._box is None else self._box
        return [FaceDetection(box, 1.0)]


class CroppedDetector:
    """For images that are face crops already: the box whose crop, by the spec's margin, is the whole image.

    Attributes:
        id: "cropped".
    """

    id = "cropped"

    def __init__(self, crop_margin: float) -> None:
        self._crop_margin = crop_margin

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Returns the one box with score 1."""
        height, width = image.shape[:2]
        half = max(width, height) / self._crop_margin / 2
        return [FaceDetection(FaceBox(width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half), 1.0)]


class CallableDetector:
    """Any function from an image to boxes.

    Attributes:
        id: "callable" unless given.
    """

    def __init__(self, function: Callable[[np.ndarray], Any], *, detector_id: str = "callable") -> None:
        self.id = detector_id
        self._function = function

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Returns the function's faces: FaceDetection unchanged, rows of four or five numbers as box and score.

        Raises:
            ArgumentError: the function gave something else.
        """
        faces = []
        for found in self._function(image):
            if isinstance(found, FaceDetection):
                faces.append(found)
                continue
            values = np.asarray(found, float).ravel()
            if len(values) not in {4, 5}:
                raise ArgumentError(
                    "detector function must give FaceDetection or (x0, y0, x1, y1[, score]) rows, got "
                    f"{found!r}; change it."
                )
            faces.append(FaceDetection(_check_box(values[:4].tolist()), float(values[4]) if len(values) == 5 else 1.0))
        return faces


def load_detector(
    name: str | FaceDetector | Callable[[np.ndarray], Any] = "ssd",
    *,
    bundle: ModelBundle | None = None,
    backend: str = "default",
    threads: int = 1,
    score_threshold: float | None = None,
    input_long_side: int | None = None,
) -> FaceDetector:
    """Returns a face detector; raises BundleError if the file is missing or differs from its name.

    Args:
        name: "ssd" (the bundle's own), "ssd:PATH", "yunet:PATH", "opencv_ssd:PATH" (.pb, its .pbtxt beside it),
            "full_frame", "cropped" (images that are face crops already), "fixed:X0,Y0,X1,Y1", an object with `id` and
            `detect`, or any function from an image to boxes.
        bundle: source of "ssd" and of the crop margin of "cropped"; None for the shipped bundle.
        backend: backend of the graph of "ssd": "default" (the packed network of a bundle, else ONNX Runtime), "native" or a graph
            backend.
        threads: maximum number of threads of one run.
        score_threshold: instead of the detector's usual one.
        input_long_side: instead of the detector's usual one.

    Raises:
        ArgumentError: name is none of these.
    """
    if not isinstance(name, str):
        if isinstance(name, FaceDetector):
            return name
        if callable(name):
            return CallableDetector(name)
        raise ArgumentError(f"name must be a string, a detector or a function, got {type(name).__name__}; see NAMES.")
    kind, _, value = name.partition(":")
    options: dict[str, Any] = {
        key: item
        for key, item in (("score_threshold", score_threshold), ("input_long_side", input_long_side))
        if item is not None
    }
    if kind == "ssd":
        return _load_ssd(value, bundle, {"backend": backend, "threads": threads, **options})
    if kind == "yunet" and value:
        from edgeaff.detection.yunet import YunetDetector

        return YunetDetector.from_bytes(_read(Path(value)), **options)
    if kind == "opencv_ssd" and value:
        from edgeaff.detection.opencv_ssd import OpencvSsdDetector

        options.pop("input_long_side", None)
        return OpencvSsdDetector(Path(value), **options)
    if kind == "fixed" and value:
        return FixedDetector(_parse_box(value))
    if name == "full_frame":
        return FixedDetector()
    if name == "cropped":
        return CroppedDetector(PreprocessSpec().crop_margin if bundle is None else bundle.spec.crop_margin)
    raise ArgumentError(f"name must be one of {', '.join(NAMES)}, got {name!r}; third-party detectors need a path.")


def _load_ssd(path: str, bundle: ModelBundle | None, options: dict[str, Any]) -> FaceDetector:
    from edgeaff.detection.ssd import SsdDetector

    backend = options.pop("backend")
    if path:
        for key, item in _read_card(Path(path)).items():
            options.setdefault(key, item)
        return SsdDetector.from_bytes(
            _read(Path(path)), backend="onnxruntime" if backend == "default" else backend, **options
        )
    bundle = ModelBundle.load() if bundle is None else bundle
    facts = bundle.manifest.detector
    options.setdefault("score_threshold", facts.score_threshold)
    options.setdefault("input_long_side", facts.input_long_side)
    graph = load_face_graph(bundle, "face_detector", backend=backend, threads=options.pop("threads"))
    return SsdDetector(graph, **options)


def _read_card(path: Path) -> dict[str, Any]:
    """Returns threshold and input size from the JSON that the export writes beside its file; usual ones without it."""
    card = path.with_suffix(".json")
    facts: dict[str, Any] = {}
    with boundary(BundleError, f"{card} must be the card of a detector", "export the detector again."):
        if card.is_file():
            facts = parse_json(read_bounded(card, most_bytes=MOST_CARD_BYTES), most_bytes=MOST_CARD_BYTES)
    usual = {"score_threshold": 0.6, "input_long_side": 320}
    return {key: facts.get(key, value) for key, value in usual.items()}


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise BundleError(f"detector file must be there, got {path}; give the path of an ONNX file.")
    with boundary(BundleError, f"detector file must be readable, {path}", "give the path of an ONNX file."):
        return read_bounded(path, most_bytes=MOST_DETECTOR_BYTES)


def _parse_box(text: str) -> FaceBox:
    try:
        return _check_box([float(part) for part in text.split(",")])
    except ValueError as error:
        raise ArgumentError(
            f"fixed box must be X0,Y0,X1,Y1 in pixels, got {text!r}; write fixed:10,10,110,110."
        ) from error


def _check_box(values: Sequence[float]) -> FaceBox:
    box = [float(value) for value in values]
    if len(box) != 4 or not all(np.isfinite(box)) or box[2] <= box[0] or box[3] <= box[1]:
        raise ArgumentError(f"box must be finite x0 < x1 and y0 < y1 in pixels, got {tuple(box)}; correct it.")
    return FaceBox(*box)
