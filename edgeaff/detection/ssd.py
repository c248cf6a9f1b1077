"""SsdDetector: our own single-shot detector, the shipped one (its network: recipes/face_detector).

A candidate that the network is not sure of gets a second look: the image around it, enlarged, goes through the same
network once more, and the two answers are averaged. Measured on the validation part at 0.44 false boxes per 100 views:
recall of faces of 16 to 30 px 0.31 -> 0.46, of 30 to 60 px 0.78 -> 0.83, of larger ones 0.971 -> 0.979; about 0.3 ms per
candidate, nothing for clear faces.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgeaff.backends import Graph, load_graph
from edgeaff.backends.native_face import NativeDetector
from edgeaff.detection.boxes import Letterbox, drop_covered, fit_letterbox
from edgeaff.detection.decode import best_logit, decode_maps
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.ops.crop_resize import crop_resize, crop_resize_planes
from edgeaff.types import FaceBox, FaceDetection, check_image

DETECTOR_ID = "edgeaff-ssd"
MAP_NAMES = ("map_8", "map_16", "map_32")
INPUT_MULTIPLE, MOST_LONG_SIDE = 32, 4096
CANDIDATE_SCORE = 0.3  # below, the first look decides alone: no face
CLEAR_SCORE = 0.85  # above, the first look decides alone: a face
MOST_SECOND_LOOKS = 8
LOOK_SIZE_PX = 96
LOOK_MARGIN = 1.7  # side of the enlarged square, in longer sides of the box
LOOK_WEIGHT = 0.75  # of the second look's logit against the first one's
LOOK_IOU = 0.4
COVER_LIMIT = 0.4
"""Share of the smaller of two boxes that a worse face may have in common with a better one. Of the 698 labeled faces of
the training images with three or more, none shares as much with its neighbor."""


def place_image(image: np.ndarray, box: Letterbox) -> np.ndarray:
    """Returns the letterboxed image, (canvas_height, canvas_width, 3) uint8: scaled, upper left, rest black."""
    height, width = image.shape[:2]
    if (width, height) == (box.width, box.height):
        scaled = image
    else:
        scaled = crop_resize(image, (0.0, 0.0, float(width), float(height)), width=box.width, height=box.height)
    if (box.width, box.height) == (box.canvas_width, box.canvas_height):
        return scaled
    canvas = np.zeros((box.canvas_height, box.canvas_width, 3), np.uint8)
    canvas[: box.height, : box.width] = scaled
    return canvas


def place_planes(image: np.ndarray, box: Letterbox) -> np.ndarray:
    """Returns `place_image` channels first, (1, 3, canvas_height, canvas_width) uint8, in one pass over the image."""
    canvas = np.zeros((1, 3, box.canvas_height, box.canvas_width), np.uint8)
    crop_resize_planes(image, _whole(image), canvas[0], width=box.width, height=box.height)
    return canvas


def _whole(image: np.ndarray) -> tuple[float, float, float, float]:
    return 0.0, 0.0, float(image.shape[1]), float(image.shape[0])


class SsdDetector:
    """Finds faces with our own network. Not thread-safe: the network's input is kept between images.

    Attributes:
        id: "edgeaff-ssd".
    """

    id = DETECTOR_ID

    def __init__(
        self, graph: Graph, *, score_threshold: float, input_long_side: int = 320, second_look: bool = True
    ) -> None:
        """Takes a loaded graph.

        Args:
            graph: input `image` (1, 3, H, W) uint8 RGB, outputs `map_8`, `map_16`, `map_32`.
            score_threshold: lowest score of a face; fixed on the validation part of the training data.
            input_long_side: pixels of the longer side that the network sees, a multiple of 32. 320 is what it was
                trained for; 640 finds smaller faces, 160 is fastest.
            second_look: look again at candidates between CANDIDATE_SCORE and CLEAR_SCORE.

        Raises:
            BundleError: the graph is not a face detector of ours.
            ArgumentError: a number is out of range.
        """
        if "image" not in graph.inputs or not set(MAP_NAMES) <= set(graph.outputs):
            raise BundleError(
                f"graph must have the input image and the outputs {', '.join(MAP_NAMES)}, got inputs "
                f"{', '.join(graph.inputs)} and outputs {', '.join(graph.outputs)}; use 'yunet:PATH' for a YuNet file, "
                "or export the detector again."
            )
        number = isinstance(score_threshold, (int, float)) and not isinstance(score_threshold, bool)
        if not number or not 0.0 < score_threshold < 1.0:
            raise ArgumentError(f"score_threshold must be in (0, 1), got {score_threshold}; leave it to the bundle.")
        whole = isinstance(input_long_side, int) and not isinstance(input_long_side, bool)
        if not whole or not INPUT_MULTIPLE <= input_long_side <= MOST_LONG_SIDE or input_long_side % INPUT_MULTIPLE:
            raise ArgumentError(
                f"input_long_side must be a positive multiple of {INPUT_MULTIPLE} up to {MOST_LONG_SIDE}, got {input_long_side!r}; "
                "pass 320."
            )
        self._graph = graph
        self.score_threshold = score_threshold
        self.input_long_side = input_long_side
        self._second_look = second_look
        self._box: Letterbox | None = None
        self._canvas = np.zeros(0, np.uint8)
        self._look = np.zeros((1, 3, LOOK_SIZE_PX, LOOK_SIZE_PX), np.uint8)

    @classmethod
    def from_bytes(
        cls,
        model: bytes,
        *,
        score_threshold: float,
        input_long_side: int = 320,
        backend: str = "onnxruntime",
        threads: int = 1,
    ) -> SsdDetector:
        """Returns a detector from the bytes of an ONNX file.

        Args:
            model: the file.
            score_threshold: as in the constructor.
            input_long_side: as in the constructor.
            backend: what runs the graph.
            threads: most threads of one run.
        """
        graph = load_graph(model, backend=backend, threads=threads)
        return cls(graph, score_threshold=score_threshold, input_long_side=input_long_side)

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Returns the faces of one image, best first.

        Args:
            image: (H, W, 3) uint8 RGB, any size; anything else is an ArgumentError.
        """
        check_image(image)
        box = fit_letterbox(image.shape[1], image.shape[0], long_side=self.input_long_side, multiple=INPUT_MULTIPLE)
        first_limit = min(CANDIDATE_SCORE, self.score_threshold) if self._second_look else self.score_threshold
        boxes, scores, points = decode_maps(self._run(self._place(image, box)), score_threshold=first_limit)
        boxes, points = box.to_image(boxes), box.to_image(points)
        if self._second_look:
            scores = self._look_again(image, boxes, scores)
            order = np.argsort(-scores, kind="stable")
            order = order[scores[order] > self.score_threshold]
            boxes, scores, points = boxes[order], scores[order], points[order]
        if len(boxes) > 1:
            apart = drop_covered(boxes, COVER_LIMIT)
            boxes, scores, points = boxes[apart], scores[apart], points[apart]
        return make_detections(boxes, scores, points)

    def _place(self, image: np.ndarray, box: Letterbox) -> np.ndarray:
        """Returns `place_planes` in memory that is used again while images keep their size."""
        if box != self._box:
            self._box, self._canvas = box, place_planes(image, box)
        else:
            crop_resize_planes(image, _whole(image), self._canvas[0], width=box.width, height=box.height)
        return self._canvas

    def _run(self, canvas: np.ndarray) -> list[np.ndarray]:
        """Returns the three maps, (15, H/stride, W/stride) each, of a (1, 3, H, W) input."""
        outputs = self._graph.run({"image": canvas})
        return [outputs[name][0] for name in MAP_NAMES]

    def _look_again(self, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Returns the scores (n,), those of unsure candidates averaged with a second look (weighted mean of logits)."""
        scores = scores.copy()
        for index in np.flatnonzero(scores < CLEAR_SCORE)[:MOST_SECOND_LOOKS]:
            x0, y0, x1, y1 = (float(value) for value in boxes[index])
            width, height, x, y = x1 - x0, y1 - y0, (x0 + x1) / 2, (y0 + y1) / 2
            half = LOOK_MARGIN * max(width, height) / 2
            square = (x - half, y - half, x + half, y + half)
            crop_resize_planes(image, square, self._look[0], width=LOOK_SIZE_PX, height=LOOK_SIZE_PX)
            middle, reach = LOOK_SIZE_PX / 2, LOOK_SIZE_PX / (4 * half)
            expected = (
                middle - width * reach,
                middle - height * reach,
                middle + width * reach,
                middle + height * reach,
            )
            again = best_logit(self._run(self._look), expected, least_iou=LOOK_IOU)
            score = float(scores[index])
            first = math.log(score / (1 - score))
            scores[index] = 1 / (1 + math.exp(-(first + LOOK_WEIGHT * again) / (1 + LOOK_WEIGHT)))
        return scores


def make_detections(boxes: np.ndarray, scores: np.ndarray, points: np.ndarray | None) -> list[FaceDetection]:
    """Returns value objects. boxes: (n, 4) image pixels; scores: (n,); points: (n, 5, 2) image pixels or None."""
    return [
        FaceDetection(
            FaceBox(*(float(value) for value in boxes[i])),
            float(scores[i]),
            None if points is None else np.ascontiguousarray(points[i], np.float32),
        )
        for i in range(len(boxes))
    ]


def native_detector(detector: Any) -> Any:
    """Returns the compiled form of a detector; None for another one, or one on another graph."""
    if type(detector) is not SsdDetector or type(detector._graph) is not NativeDetector or not detector._second_look:
        return None
    return detector._graph.core_detector(detector.score_threshold, detector.input_long_side, MAP_NAMES)
