"""AffWildNet: TensorFlow 1 checkpoint trained on 96-px crops (fc 4,608 -> 4,096, flattened row, column, channel). RGB.

Pixels enter as (x - 128) / 128.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.training.importers.common import Layers, fc6_from_image_order
from edgeaff.training.importers.tensorflow import read_checkpoint
from edgeaff.training.models.vggface import VggFaceConfig

MEAN = (128.0, 128.0, 128.0)
SCALE = 1 / 128


def pick(tensors: dict[str, np.ndarray], scope: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns weights and biases of a scope, where it hangs; None where it is not there.

    Raises:
        ArgumentError: two scopes of that name are there.
    """
    found = {
        part: [name for name in tensors if f"/{name}".endswith(f"/{scope}/{part}")] for part in ("weights", "biases")
    }
    for names in found.values():
        if len(names) > 1:
            raise ArgumentError(f"{scope} must be there once, got {sorted(names)}; save one network per checkpoint.")
    if not (found["weights"] and found["biases"]):
        return None
    return tensors[found["weights"][0]], tensors[found["biases"][0]]


def load(path: Path, config: VggFaceConfig) -> Layers:
    """Returns the layers of an AffWildNet checkpoint: `conv_1` ... `conv_13` and `linear_1`.

    Args:
        path: prefix, `.index` or single file.
        config: the sizes expected.
    """
    stored = read_checkpoint(path)
    tensors: dict[str, np.ndarray] = {}
    for index, (name, _, _) in enumerate(config.convolutions, start=1):
        pair = pick(stored, f"conv_{index}")
        if pair is not None:
            weight = pair[0].transpose(3, 2, 0, 1) if pair[0].ndim == 4 else pair[0]
            tensors |= {f"{name}.weight": weight, f"{name}.bias": pair[1]}
    pair = pick(stored, "linear_1")
    if pair is not None:
        weight = fc6_from_image_order(pair[0], config.widths[-1], 3) if pair[0].ndim == 2 else pair[0]
        tensors |= {"fc6.weight": weight, "fc6.bias": pair[1]}
    return Layers(tensors, map_px=3, mean=MEAN, scale=SCALE, notes=("input: (x - 128) / 128",))
