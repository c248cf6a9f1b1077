"""Keras: HDF5 weights of VGGFace (kernels row, column, input, output; fc flattened row, column, channel). BGR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.training.importers.common import Layers, fc6_from_image_order
from edgeaff.training.models.vggface import VggFaceConfig


def arrays_of(group: Any) -> list[np.ndarray]:
    """Returns the arrays below a group, however deep; links to other places or files are not followed."""
    import h5py

    arrays: list[np.ndarray] = []
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            continue
        item = group[key]
        if isinstance(item, h5py.Group):
            arrays += arrays_of(item)
        elif item.external is None and not item.is_virtual and item.dtype.kind == "f":
            arrays.append(np.asarray(item[()], dtype=np.float32))
    return arrays


def read_layers(path: Path) -> dict[str, np.ndarray]:
    """Returns `layer.weight` and `layer.bias` as stored: of a layer's arrays the flat one is the bias.

    Raises:
        BackendUnavailableError: h5py is not installed.
        ArgumentError: the file is not HDF5.
    """
    try:
        import h5py
    except ImportError as error:
        raise BackendUnavailableError(
            f"h5py must be installed for Keras files, got: {error}; pip install h5py."
        ) from error
    tensors: dict[str, np.ndarray] = {}
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ArgumentError(f"file must be HDF5, got {error}; check which layout it has.") from error
    with file:
        root = file.get("model_weights", file)
        for name in root:
            if not isinstance(root[name], h5py.Group):
                continue
            for array in arrays_of(root[name]):
                tensors[f"{name}.{'bias' if array.ndim == 1 else 'weight'}"] = array
    return tensors


def load(path: Path, config: VggFaceConfig) -> Layers:
    """Returns the layers of a Keras model. path: the file; config: the sizes expected."""
    tensors: dict[str, np.ndarray] = {}
    for name, array in read_layers(path).items():
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif name == "fc6.weight" and array.ndim == 2:
            array = fc6_from_image_order(array, config.widths[-1], 7)
        tensors[name] = array
    return Layers(tensors)
