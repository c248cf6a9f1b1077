"""Caffe: VGG_FACE.caffemodel (a binary NetParameter, layers of version 1 or 2). BGR."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from edgeaff.parsing.boundary import read_bounded
from edgeaff.parsing.protobuf import BYTES, fields, floats, integers, text
from edgeaff.training.importers.common import MOST_FILE_BYTES, Layers
from edgeaff.training.models.vggface import VggFaceConfig

# Field numbers of caffe.proto: NetParameter.layer / .layers, and of a layer of either version its name and blobs.
LAYER_V2, LAYER_V1 = 100, 2
NAME_AND_BLOBS = {LAYER_V2: (1, 7), LAYER_V1: (4, 6)}
BLOB_DATA, BLOB_SHAPE, BLOB_DOUBLE = 5, 7, 8


def read_blob(data: memoryview) -> np.ndarray:
    """Returns a BlobProto: shape from `shape`, or from num, channels, height, width; leading ones are dropped."""
    old_shape, shape, parts = [1, 1, 1, 1], [], []
    for number, kind, value in fields(data):
        if number in (1, 2, 3, 4) and isinstance(value, int):
            old_shape[number - 1] = value
        elif number == BLOB_SHAPE and kind == BYTES and not isinstance(value, int):
            shape = [size for one, k, v in fields(value) if one == 1 for size in integers(k, v)]
        elif number == BLOB_DATA:
            parts.append(floats(value))
        elif number == BLOB_DOUBLE:
            parts.append(floats(value, "<f8"))
    values = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    sizes = shape or old_shape
    if not shape:
        while len(sizes) > 1 and sizes[0] == 1:
            sizes = sizes[1:]
    return values.reshape(sizes) if math.prod(sizes) == values.size else values


def read_layers(path: Path) -> dict[str, list[np.ndarray]]:
    """Returns layer name -> its blobs, of layers that have any."""
    layers: dict[str, list[np.ndarray]] = {}
    for number, kind, value in fields(memoryview(read_bounded(path, most_bytes=MOST_FILE_BYTES))):
        if number not in NAME_AND_BLOBS or kind != BYTES or isinstance(value, int):
            continue
        name_field, blob_field = NAME_AND_BLOBS[number]
        name, blobs = "", []
        for one, _, content in fields(value):
            if one == name_field:
                name = text(content)
            elif one == blob_field and not isinstance(content, int):
                blobs.append(read_blob(content))
        if blobs:
            layers[name] = blobs
    return layers


def load(path: Path, config: VggFaceConfig) -> Layers:
    """Returns the layers of a caffemodel. path: the file; config: not needed, the file states its sizes."""
    del config
    tensors: dict[str, np.ndarray] = {}
    for name, blobs in read_layers(path).items():
        for part, blob in zip(("weight", "bias"), blobs, strict=False):
            tensors[f"{name}.{part}"] = blob
    return Layers(tensors)
