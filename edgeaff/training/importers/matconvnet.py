"""MatConvNet: vgg-face.mat (`layers` with weights row, column, input, output; `averageImage`). RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.parsing.boundary import read_bounded
from edgeaff.training.importers.common import MEAN_RGB, MOST_FILE_BYTES, Layers
from edgeaff.training.importers.matlab import read_mat
from edgeaff.training.models.vggface import VggFaceConfig


def average_of(variables: dict[str, Any]) -> tuple[float, float, float] | None:
    """Returns the mean color in the file, from `meta.normalization` or `normalization`; an image is averaged."""
    meta = variables.get("meta")
    holder = meta if isinstance(meta, dict) else variables
    normalization = holder.get("normalization")
    image = normalization.get("averageImage") if isinstance(normalization, dict) else None
    if not isinstance(image, np.ndarray) or image.size == 0 or image.size % 3:
        return None
    red, green, blue = image.reshape(-1, 3, order="F").astype(float).mean(axis=0)
    return float(red), float(green), float(blue)


def filters_of(layer: Any) -> tuple[str, np.ndarray, np.ndarray] | None:
    """Returns name, filters and biases of a layer, or None where it has none."""
    if not isinstance(layer, dict):
        return None
    pair = layer.get("weights")
    if not (isinstance(pair, list) and len(pair) >= 2):
        pair = [layer.get("filters"), layer.get("biases")]
    if not all(isinstance(one, np.ndarray) and one.size for one in pair[:2]):
        return None
    return str(layer.get("name", "")), pair[0], pair[1]


def load(path: Path, config: VggFaceConfig) -> Layers:
    """Returns the layers of a MatConvNet network. path: the file; config: not needed, the file states its sizes."""
    del config
    variables = read_mat(read_bounded(path, most_bytes=MOST_FILE_BYTES))
    net = variables.get("net")
    if isinstance(net, dict):
        variables = net
    tensors: dict[str, np.ndarray] = {}
    layers = variables.get("layers")
    for layer in layers if isinstance(layers, list) else []:
        found = filters_of(layer)
        if found is None:
            continue
        name, filters, biases = found
        four = filters.reshape(filters.shape + (1,) * (4 - filters.ndim))  # MATLAB drops ones at the end
        weight = four.transpose(3, 2, 0, 1)
        tensors[f"{name}.weight"] = weight.reshape(len(weight), -1) if name == "fc6" else weight
        tensors[f"{name}.bias"] = biases.reshape(-1)
    mean = average_of(variables)
    note = "mean: from the file" if mean else "mean: published, the file has none"
    return Layers(tensors, mean=mean or MEAN_RGB, notes=(note,))
