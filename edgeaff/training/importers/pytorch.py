"""PyTorch: vgg_face_dag.pth (a state dict with Caffe's layer names). RGB. Code in a pickle is refused, not run."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import torch

from edgeaff.errors import ArgumentError
from edgeaff.training.importers.common import Layers
from edgeaff.training.models.vggface import VggFaceConfig


def read_state(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dict, `module.` prefixes removed.

    Raises:
        ArgumentError: the file holds more than tensors, or no state dict.
    """
    try:
        with warnings.catch_warnings():  # torch warns of pickle protocols that it then refuses or reads
            warnings.simplefilter("ignore", UserWarning)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, LookupError, AttributeError, TypeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArgumentError(
            f"file must be a PyTorch state dict of tensors, got: {reason}; save model.state_dict() where you trust the "
            "file, and import that."
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise ArgumentError(f"file must be a PyTorch state dict, got {type(state).__name__}; save model.state_dict().")
    return {
        str(name).removeprefix("module."): value.float().numpy()
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def load(path: Path, config: VggFaceConfig) -> Layers:
    """Returns the layers of a state dict. path: the file; config: not needed, the file says its sizes."""
    del config
    return Layers(read_state(path))
