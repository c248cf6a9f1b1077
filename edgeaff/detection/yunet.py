"""YunetDetector: YuNet files (libfacedetection) by path, run in ONNX Runtime, with our own post-processing."""

from __future__ import annotations

import numpy as np

from edgeaff.backends import Graph, load_graph
from edgeaff.detection.boxes import Letterbox, fit_letterbox, merge_candidates
from edgeaff.detection.ssd import make_detections, place_image
from edgeaff.errors import BundleError
from edgeaff.types import FaceDetection, check_image

STRIDES = (8, 16, 32)
SUPPRESS_IOU = 0.3
OUTPUT_NAMES = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)


class YunetDetector:
    """Finds faces with a YuNet network.

    Attributes:
        id: "yunet".
    """

    id = "yunet"

    def __init__(self, graph: Graph, *, score_threshold: float = 0.8, input_long_side: int = 320) -> None:
        """Takes a loaded graph.

        Args:
            graph: input `input` (1, 3, H, W) float32 BGR; twelve outputs cls, obj, bbox, kps at strides 8, 16, 32.
            score_threshold: lowest score sqrt(cls * obj). 0.8: measured to fire on nothing in 368 frames of 46 videos
                at a recall of 0.997.
            input_long_side: pixels of the longer side that the network sees; a file of fixed size decides it itself.

        Raises:
            BundleError: the graph is no YuNet.
        """
        if "input" not in graph.inputs or not set(OUTPUT_NAMES) <= set(graph.outputs):
            raise BundleError(
                f"file must be a YuNet with the outputs {', '.join(OUTPUT_NAMES[:3])}, ..., got "
                f"{', '.join(graph.outputs)}; "
                "take face_detection_yunet from opencv_zoo or yunet_n from libfacedetection.train."
            )
        self._graph = graph
        self._fixed = graph.inputs["input"][2:]
        self.score_threshold = score_threshold
        self.input_long_side = input_long_side

    @classmethod
    def from_bytes(cls, model: bytes, *, score_threshold: float = 0.8, input_long_side: int = 320) -> YunetDetector:
        """Returns a detector from the bytes of an ONNX file; arguments as in the constructor."""
        graph = load_graph(model, backend="onnxruntime", threads=1)
        return cls(graph, score_threshold=score_threshold, input_long_side=input_long_side)

    def _letterbox(self, width: int, height: int) -> Letterbox:
        fixed_height, fixed_width = self._fixed
        if fixed_width is None or fixed_height is None:
            return fit_letterbox(width, height, long_side=self.input_long_side)
        scale = min(fixed_width / width, fixed_height / height)
        inner = (min(max(round(width * scale), 1), fixed_width), min(max(round(height * scale), 1), fixed_height))
        return Letterbox(*inner, fixed_width, fixed_height, inner[0] / width, inner[1] / height)

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Returns the faces of one image, best first.

        Args:
            image: (H, W, 3) uint8 RGB, any size; anything else is an ArgumentError.
        """
        check_image(image)
        box = self._letterbox(image.shape[1], image.shape[0])
        canvas = place_image(image, box)
        pixels = np.ascontiguousarray(canvas[:, :, ::-1].transpose(2, 0, 1), np.float32)[None]
        outputs = self._graph.run({"input": pixels})
        boxes, scores, points = decode_yunet(outputs, box.canvas_width, score_threshold=self.score_threshold)
        return make_detections(box.to_image(boxes), scores, box.to_image(points))


def decode_yunet(
    outputs: dict[str, np.ndarray], canvas_width: int, *, score_threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the faces in input pixels, best first.

    Args:
        outputs: the twelve outputs of one image, each (1, cells, k).
        canvas_width: of the input, pixels.
        score_threshold: lowest score.

    Returns:
        boxes (n, 4), scores (n,), points (n, 5, 2), all float32.
    """
    parts = []
    for stride in STRIDES:
        chance = np.clip(outputs[f"cls_{stride}"][0, :, 0], 0, 1) * np.clip(outputs[f"obj_{stride}"][0, :, 0], 0, 1)
        chosen = np.flatnonzero(chance > score_threshold**2)
        if not len(chosen):
            continue
        corner = np.stack([chosen % (canvas_width // stride), chosen // (canvas_width // stride)], 1)
        raw = outputs[f"bbox_{stride}"][0, chosen]
        center, half = corner + raw[:, :2], np.exp(raw[:, 2:]) / 2
        points = outputs[f"kps_{stride}"][0, chosen].reshape(-1, 5, 2) + corner[:, None]
        values = [np.sqrt(chance[chosen])[:, None], stride * (center - half), stride * (center + half)]
        parts.append(np.concatenate([*values, stride * points.reshape(-1, 10)], 1).astype(np.float32))
    found = np.concatenate(parts) if parts else np.zeros((0, 15), np.float32)
    return merge_candidates(
        found[:, 1:5], found[:, 0], found[:, 5:].reshape(-1, 5, 2), suppress_iou=SUPPRESS_IOU, vote_iou=2.0
    )
