"""PyTorch: vgg_face_dag.pth (a state dict with Caffe's layer names). RGB. Code in a pickle is refused, not run."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch

from edgeaff.errors import ArgumentError
from edgeaff.parsing.boundary import reason_of
from edgeaff.training.importers.common import MOST_FILE_BYTES, Layers
from edgeaff.training.models.vggface import VggFaceConfig

LEGACY = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how torch.save began before its zip form: a magic number, pickled
)


def read_state(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dict, `module.` prefixes removed.

    Raises:
        ArgumentError: the file holds more than tensors, or no state dict.
    """
    check_container(path)
    try:
        with warnings.catch_warnings():  # torch warns of pickle protocols that it then refuses or reads
            warnings.simplefilter("ignore", UserWarning)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of torch, of pickle, and of the names that the pickle requests
        raise ArgumentError(
            f"file must be a PyTorch state dict of tensors, got: {reason_of(error)}; save model.state_dict() where you trust the "
            "file, and import that."
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise ArgumentError(f"file must be a PyTorch state dict, got {type(state).__name__}; save model.state_dict().")
    return {
        name.removeprefix("module."): _plain(name, value)
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and isinstance(name, str)
    }


def check_container(path: Path) -> None:
    """Checks that a file is one that torch reads without unpacking anything: a zip of stored members, or its older pickle.

    Raises:
        ArgumentError: it is another, or larger than any network.
    """
    with path.open("rb") as file:
        start = file.read(len(LEGACY))
        size = file.seek(0, os.SEEK_END)
    if size > MOST_FILE_BYTES or not (start == LEGACY or start.startswith(b"PK\x03\x04")):
        raise ArgumentError(
            f"file must be a PyTorch state dict of tensors, got {size} bytes that begin {start[:8]!r}; save model.state_dict()."
        )
    if start == LEGACY:
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or sum(member.file_size for member in members) > size:
        raise ArgumentError(
            "file must be a PyTorch state dict of tensors in stored members, got packed or overlapping ones; use torch.save."
        )


def _plain(name: str, tensor: torch.Tensor) -> np.ndarray:
    """Returns a tensor as float32.

    Raises:
        ArgumentError: it has more values than its storage.
    """
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ArgumentError(
            f"{ascii(name)} must be a plain tensor in its storage, got shape {tuple(tensor.shape)}; save it contiguous."
        )
    return tensor.detach().float().numpy()


def load(path: Path, config: VggFaceConfig) -> Layers:
    """Returns the layers of a state dict. path: the file; config: not needed, the file states its sizes."""
    del config
    return Layers(read_state(path))
