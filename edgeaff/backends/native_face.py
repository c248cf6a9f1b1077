"""The two face graphs of a bundle on the native int8 networks: no graph engine, the same bytes on every processor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, BundleError
from edgeaff.ops import native
from edgeaff.ops.face_nets import GROUP, FaceNet, net_arrays
from edgeaff.parsing.boundary import Refused, boundary, shown
from edgeaff.parsing.json_text import parse_json

FACE_NETS = "face_nets.npz"  # member of a bundle
NETS = ("detector", "encoder")
ROLES = {"face_detector": "detector", "face_encoder": "encoder"}
ARCHITECTURE = "edgeaff-face-nets-1"
FORMAT = 1
MOST_META_BYTES = 1 << 14
MAP_VALUES = 15


class NativeDetector:
    """The face detector as a graph (see `edgeaff.backends.Graph`).

    Args:
        arrays: of the network, as in edgeaff/ops/face_nets.py.
        outputs: names of the maps.

    Attributes:
        backend: "native".
        precision: "int8".
        inputs: name -> shape.
        outputs: names in order.
    """

    backend = "native"
    precision = "int8"

    def __init__(self, arrays: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> None:
        self._net = FaceNet(arrays)
        self.inputs: dict[str, tuple[int | None, ...]] = {"image": (1, 3, None, None)}
        self.outputs = outputs

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the maps (1, 15, rows, columns) float32 by name: views that the next run overwrites.

        Args:
            feeds: image (1, 3, H, W) uint8, contiguous; H and W multiples of 32.
        """
        image = feeds["image"]
        height, width = image.shape[2:]
        found = self._net.run(image, height=height, width=width)
        return {name: one.transpose(2, 0, 1)[None, :MAP_VALUES] for name, one in zip(self.outputs, found, strict=True)}

    def core_detector(self, score_threshold: float, input_long_side: int, maps: tuple[str, ...]) -> Any:
        """Returns the whole detector of csrc/core on this network.

        Args:
            score_threshold: lowest score of a face.
            input_long_side: pixels of the longer side that the network sees.
            maps: names of the maps of stride 8, 16 and 32.
        """
        order = [self.outputs.index(name) for name in maps]
        self._net.forget()  # the detector has its own memory
        return native().SsdDetector(self._net.core, score_threshold, input_long_side, order)


class NativeEncoder:
    """The face encoder as a graph (see `edgeaff.backends.Graph`) that takes crops unchanged, too.

    Args:
        arrays: of the network, as in edgeaff/ops/face_nets.py.
        outputs: name of the descriptor.
        crop_size_px: side of a crop.

    Attributes:
        backend: "native".
        precision: "int8".
        inputs: name -> shape.
        outputs: names in order.
    """

    backend = "native"
    precision = "int8"

    def __init__(self, arrays: Mapping[str, np.ndarray], outputs: tuple[str, ...], crop_size_px: int) -> None:
        self._net = FaceNet(arrays)
        self._size = crop_size_px
        self.inputs: dict[str, tuple[int | None, ...]] = {"face": (1, 3, crop_size_px, crop_size_px)}
        self.outputs = outputs

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the descriptor (1, D) float32 by name.

        Args:
            feeds: face (1, 3, S, S) float32 in [-1, 1]: pixel / 127.5 - 1. Values between are rounded to the nearest pixel.
        """
        pixels = np.rint(feeds["face"][0].transpose(1, 2, 0) * np.float32(127.5) + np.float32(127.5)).clip(0, 255)
        return {self.outputs[0]: self.describe(pixels.astype(np.uint8))[None]}

    def describe(self, crop: np.ndarray) -> np.ndarray:
        """Returns the descriptor, (D,) float32, of a crop (S, S, 3) uint8 RGB."""
        pixels = np.ascontiguousarray(crop)
        return self._net.run(pixels, height=self._size, width=self._size)[0].ravel().copy()

    def core_encoder(self) -> Any:
        """Returns the face encoder of csrc/core on this network."""
        self._net.forget()  # the encoder has its own memory
        return native().NetEncoder(self._net.core, self._size)


def load_native_face(arrays: Mapping[str, np.ndarray], role: str, model: bytes) -> NativeDetector | NativeEncoder:
    """Returns a face graph on the native networks.

    Args:
        arrays: of `face_nets.npz`.
        role: face_detector or face_encoder.
        model: the bundle's ONNX graph of this role, from which the networks must have been packed.

    Raises:
        BundleError: the arrays are of another format, incomplete, or packed from another graph.
        Refused: never; the boundary turns it into a BundleError.
    """
    name = ROLES[role]
    with boundary(BundleError, f"{FACE_NETS} must hold packed networks", "pack them again."):
        meta = _meta(arrays)
        stated = meta[name]
        if stated["sha256"] != hashlib.sha256(model).hexdigest():
            raise Refused(f"a {name} that was packed from another graph than the bundle's")
        outputs = tuple(stated["outputs"])
        try:
            if name == "encoder":
                return NativeEncoder(net_arrays(arrays, name), outputs, meta["crop_size_px"])
            return NativeDetector(net_arrays(arrays, name), outputs)
        except ArgumentError as error:
            raise Refused(str(error)) from None


def _meta(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns the description that packed networks carry.

    Raises:
        Refused: it is missing, of another format, or not what it must be.
    """
    if "meta" not in arrays:
        raise Refused(f"no description beside {shown(', '.join(sorted(arrays)[:3]))}")
    meta = parse_json(arrays["meta"].tobytes(), most_bytes=MOST_META_BYTES)
    for key, wanted in (("format", FORMAT), ("architecture", ARCHITECTURE)):
        if meta.get(key) != wanted:
            raise Refused(f"{key} {shown(meta.get(key))}, where {wanted} is read")
    size = meta.get("crop_size_px")
    if type(size) is not int or not 2 * GROUP <= size <= 1024:
        raise Refused(f"crop_size_px {shown(size)}")
    for name in NETS:
        stated = meta.get(name)
        if not isinstance(stated, dict) or not isinstance(stated.get("sha256"), str):
            raise Refused(f"no sha256 of the graph of the {name}")
        outputs = stated.get("outputs")
        if not isinstance(outputs, list) or not all(isinstance(one, str) for one in outputs):
            raise Refused(f"no names of the outputs of the {name}")
    return meta
