"""Keras: HDF5 weights of VGGFace (kernels row, column, input, output; fc flattened row, column, channel). BGR."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.training.importers.common import Layers, fc6_from_image_order
from edgeaff.training.models.vggface import VggFaceConfig

MOST_DEPTH, MOST_ARRAYS, MOST_RATIO = 8, 1000, 100
FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, fletcher32, lzf: none of a plug-in


def arrays_of(group: Any, *, depth: int = 0) -> list[np.ndarray]:
    """Returns the arrays below a group, however deep; links to other places or files are not followed.

    Args:
        group: of an open file.
        depth: of the group.

    Raises:
        ArgumentError: groups are nested beyond reason, as where one holds itself, or hold more than a layer does.
    """
    import h5py

    if depth > MOST_DEPTH:
        raise ArgumentError(f"file must nest at most {MOST_DEPTH} groups, got more; save the weights again.")
    arrays: list[np.ndarray] = []
    for item in _own_items(group):
        if isinstance(item, h5py.Group):
            arrays += arrays_of(item, depth=depth + 1)
        elif item.dtype.kind == "f":
            arrays.append(_read_stored(item))
        if len(arrays) > MOST_ARRAYS:
            raise ArgumentError(
                f"file must hold at most {MOST_ARRAYS} arrays in a layer, got more; save the weights again."
            )
    return arrays


def _own_items(group: Any) -> list[Any]:
    """Returns groups and data sets that lie in this file under this group: no soft and no external links.

    Raises:
        ArgumentError: there are more than a network has.
    """
    import h5py

    if len(group) > MOST_ARRAYS:
        raise ArgumentError(
            f"file must hold at most {MOST_ARRAYS} entries in a group, got more; save the weights again."
        )
    own = [group[key] for key in group if isinstance(group.get(key, getlink=True), h5py.HardLink)]
    return [item for item in own if isinstance(item, (h5py.Group, h5py.Dataset))]


def _read_stored(data: Any) -> np.ndarray:
    """Returns a data set that is stored in the file itself, plainly or with HDF5's own filters.

    Raises:
        ArgumentError: it is virtual, external, not stored, packed beyond reason, or behind another filter.
    """
    plan = data.id.get_create_plist()
    filters = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())}
    stored, size = data.id.get_storage_size(), math.prod(data.shape or (0,)) * data.dtype.itemsize
    if data.external is not None or data.is_virtual or not filters <= FILTERS or size > MOST_RATIO * stored:
        raise ArgumentError(
            f"{ascii(data.name)} must be stored in the file with HDF5's own filters, got {size} bytes from {stored}; "
            "save the weights again."
        )
    return np.asarray(data[()], dtype=np.float32)


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
        root = next((item for item in _own_items(file) if item.name == "/model_weights"), file)
        for group in _own_items(root):
            if not isinstance(group, h5py.Group):
                continue
            for array in arrays_of(group):
                tensors[f"{group.name.rpartition('/')[2]}.{'bias' if array.ndim == 1 else 'weight'}"] = array
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
