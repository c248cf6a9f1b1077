"""Imports VGGFace weights from six public layouts into one form. No code in a file is executed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.parsing.archives import read_npz
from edgeaff.parsing.boundary import boundary, read_bounded
from edgeaff.training.importers.common import MOST_FILE_BYTES, check_channel_order, file_sha256, finish
from edgeaff.training.models.vggface import VggFaceConfig, VggFaceWeights

# Layout -> the channel order that the published file's first layer expects; None: it must be named.
LAYOUTS = {"caffe": "bgr", "torch7": None, "matconvnet": "rgb", "keras": "bgr", "pytorch": "rgb", "affwildnet": "rgb"}
SUFFIXES = {
    ".caffemodel": "caffe",
    ".t7": "torch7",
    ".mat": "matconvnet",
    ".h5": "keras",
    ".hdf5": "keras",
    ".pth": "pytorch",
    ".pt": "pytorch",
    ".index": "affwildnet",
    ".ckpt": "affwildnet",
}


def import_vggface(
    path: Path | str,
    *,
    layout: str | None = None,
    channel_order: str | None = None,
    sha256: str | None = None,
    config: VggFaceConfig | None = None,
) -> VggFaceWeights:
    """Returns VGGFace weights from a file.

    Args:
        path: the file; for AffWildNet the checkpoint's prefix, its `.index` or its single file.
        layout: one of LAYOUTS; None goes by the name.
        channel_order: "rgb" or "bgr", the channel order that the file's first layer expects; None for the published file's.
            For torch7 it must be named.
        sha256: the checksum that the file must have; None accepts any.
        config: sizes expected; None for VGG-16.

    Returns:
        Weights in one form, for `VggFace.load_weights`.

    Raises:
        ArgumentError: the layout is unknown, the checksum differs, or the file is not such a network (names layer and
            shape).
    """
    path = Path(path)
    layout = layout or SUFFIXES.get(path.suffix.lower()) or ("affwildnet" if ".ckpt" in path.name else None)
    if layout not in LAYOUTS:
        raise ArgumentError(f"layout must be one of {tuple(LAYOUTS)}, got {layout!r} for {path.name}; name it.")
    if layout != "affwildnet" and not path.is_file():
        raise ArgumentError(f"path must be a file, got {path}; check the name.")
    module = import_module(f"edgeaff.training.importers.{layout}")
    order = check_channel_order(channel_order or LAYOUTS[layout], layout)
    config = config or VggFaceConfig()
    file = path if path.exists() else path.with_name(path.name + ".index")
    with boundary(
        ArgumentError, f"{path.name} must be a {layout} file of VGGFace weights", "fetch it again, or name its layout."
    ):
        found = module.load(path, config)
        weights = finish(found, config=config, layout=layout, channel_order=order, sha256=file_sha256(file))
    if sha256 is not None and weights.sha256 != sha256.lower():
        raise ArgumentError(f"sha256 of {path.name} must be {sha256}, got {weights.sha256}; fetch the file again.")
    return weights


def save_weights(weights: VggFaceWeights, path: Path) -> None:
    """Writes imported weights as one .npz that `read_weights` takes up."""
    extra = {
        "map_px": np.array(weights.map_px),
        "mean": np.array(weights.mean),
        "scale": np.array(weights.scale),
        "layout": np.array(weights.layout),
        "sha256": np.array(weights.sha256),
        "notes": np.array(weights.notes),
    }
    with path.open("wb") as file:
        np.savez(file, **cast(Any, {f"tensor:{k}": v for k, v in weights.tensors.items()} | extra))


def read_weights(path: Path) -> VggFaceWeights:
    """Returns weights that `save_weights` wrote.

    Args:
        path: of the file.

    Returns:
        The weights. A file that is another is an ArgumentError.
    """
    with boundary(
        ArgumentError, f"weights must be written by edgeaff models import, {path}", "import the file that you have."
    ):
        data = read_npz(read_bounded(path, most_bytes=MOST_FILE_BYTES), text=True)
        tensors = {name[7:]: array for name, array in data.items() if name.startswith("tensor:")}
        red, green, blue = (float(value) for value in data["mean"])
        return VggFaceWeights(
            tensors=tensors,
            map_px=int(data["map_px"]),
            mean=(red, green, blue),
            scale=float(data["scale"]),
            layout=str(data["layout"]),
            sha256=str(data["sha256"]),
            notes=tuple(str(note) for note in data["notes"]),
        )
