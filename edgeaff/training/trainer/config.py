"""The configuration of a training run, as read from TOML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edgeaff.errors import ArgumentError
from edgeaff.parsing import toml_text
from edgeaff.parsing.boundary import boundary
from edgeaff.training.models.registry import find_system
from edgeaff.training.trainer.losses import LOSSES

CONFIGS = Path(__file__).parents[1] / "configs"
SHIPPED = ("paper", "fast")
# Smallest and largest value of each number; learning_rate must be above 0.
_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31),
    "learning_rate": (0.0, 10.0),
    "weight_decay": (0.0, 10.0),
    "batch": (1, 100_000),
    "epochs": (1, 1_000_000),
    "patience": (1, 1_000_000),
    "warmup_share": (0.0, 1.0),
    "clip": (0.0, math.inf),
    "average": (0.0, 1.0),
    "most_missing": (0.0, 1.0),
    "modality_dropout": (0.0, 1.0),
    "window_ticks": (0, 1_000_000),
    "steps_per_epoch": (0, 1_000_000),
    "width": (1 / 64, 4.0),
}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run.

    Attributes:
        system: name in SYSTEMS.
        seed: of weights, order, dropout.
        loss: key of LOSSES. Paper: sequence_ccc.
        learning_rate: Paper: 1e-5.
        weight_decay: of AdamW; 0 is plain Adam, as in the paper.
        batch: sequences per step, over all processes.
        epochs: at most.
        patience: epochs without a better validation before it stops.
        warmup_share: of all steps with a rising rate; 0 = constant rate without cosine, as in the paper.
        clip: largest gradient norm; 0 = none.
        average: exponential average of the weights, over at most a tenth of the steps so far at the start; 0 = none.
        most_missing: windows with a larger share of unannotated ticks are not drawn.
        modality_dropout: chance that a modality of a sequence loses a random share of its ticks.
        amp: mixed precision: bfloat16 on a CPU, float16 with a scaled loss on CUDA.
        window_ticks: length of the sequences that are drawn; 0 = the system's own. Validation always takes the system's.
        steps_per_epoch: 0 = as many as draw every tick once on average.
        width: of a system that learns from pixels; 1 = as published.
        sizes: of a system that learns from features, where they are not the published ones (`System.build`).
        follow_features: take video_size and audio_size from the features instead of the published values.
    """

    system: str = "transformer_av"
    seed: int = 0
    loss: str = "sequence_ccc"
    learning_rate: float = 1e-5
    weight_decay: float = 0.0
    batch: int = 32
    epochs: int = 50
    patience: int = 10
    warmup_share: float = 0.0
    clip: float = 0.0
    average: float = 0.0
    most_missing: float = 0.25
    modality_dropout: float = 0.0
    amp: bool = False
    window_ticks: int = 0
    steps_per_epoch: int = 0
    width: float = 1.0
    sizes: dict[str, Any] = field(default_factory=dict)
    follow_features: bool = False

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Returns the configuration with these values.

        Args:
            values: as read from TOML.

        Returns:
            The configuration.

        Raises:
            ArgumentError: a key or the system is unknown, or a value has the wrong type or range.
        """
        known = {entry.name: {} if entry.default is MISSING else entry.default for entry in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ArgumentError(f"config must have keys of {sorted(known)}, got {unknown}; correct the file.")
        for name, value in values.items():
            _check(name, value, type(known[name]))
        config = cls(**values)
        find_system(config.system)
        if config.loss not in LOSSES:
            raise ArgumentError(f"loss must be one of {sorted(LOSSES)}, got {config.loss!r}; correct the file.")
        return config

    def fitted(self, features: Any) -> TrainConfig:
        """Returns the configuration with the sizes of the features, if it follows them.

        Args:
            features: of any track of the run.

        Returns:
            The configuration of the network that is trained.
        """
        system = find_system(self.system)
        if not self.follow_features or system.from_pixels:
            return self
        own = {"video": "video_size", "audio": "audio_size", "features": f"{system.modality}_size"}
        found = {"video_size": features.video.shape[1], "audio_size": features.audio.shape[1]}
        widths = {own[name]: found[own[name]] for name in system.inputs if name in own}
        return replace(self, sizes=widths | self.sizes)


def _check(name: str, value: Any, kind: type) -> None:
    """Checks one value.

    Raises:
        ArgumentError: it has the wrong type or is out of range.
    """
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ArgumentError(f"{name} must be of type {kind.__name__}, got {value!r}; correct the file.")
    if name in _RANGES:
        low, high = _RANGES[name]
        if not low <= value <= high or (name == "learning_rate" and value == 0):
            raise ArgumentError(f"{name} must be in {low:g}..{high:g}, got {value!r}; correct the file.")


def read_toml(path: Path, what: str, shipped: Sequence[str]) -> dict[str, Any]:
    """Returns the content of a TOML file.

    Args:
        path: the file, or a name of one that ships.
        what: it is, for the message.
        shipped: names of files beside this package's configurations.

    What cannot be read is an ArgumentError.
    """
    chosen = CONFIGS / f"{path}.toml" if str(path) in shipped and not path.is_file() else path
    with boundary(
        ArgumentError, f"{what} must be a readable TOML file, or {' or '.join(shipped)}, {path}", "correct it."
    ):
        return toml_text.read_toml(chosen)


def read_config(path: Path) -> TrainConfig:
    """Returns the configuration in a file.

    Args:
        path: TOML file, or `paper` or `fast`, which ship.

    Returns:
        The configuration.

    Raises:
        ArgumentError: the file cannot be read, or holds what no configuration holds.
    """
    return TrainConfig.from_dict(read_toml(path, "config", SHIPPED))
