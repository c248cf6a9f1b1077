"""Checkpoints of a run: everything that its next step depends on, and weights from which the network can be rebuilt.

`last-N.safetensors` holds weights, averages, optimizer and random states of epoch N, `last.json` (written last, to
confirm the tensors) the rest. `best.safetensors` holds the weights to use; its metadata states their origin.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeaff.errors import ArgumentError
from edgeaff.training.models.registry import System, find_system
from edgeaff.training.trainer.config import TrainConfig

BEST, LAST = "best.safetensors", "last.json"


def save_weights(path: Path, module: nn.Module, run: dict[str, Any]) -> None:
    """Writes weights, whole or not at all.

    Args:
        path: safetensors file.
        module: whose weights.
        run: what is needed to rebuild it, and where it is from; JSON.
    """
    from safetensors.torch import save_file

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    part = path.with_name(f".{path.name}.part")
    # One entry: safetensors writes several in an order that changes from run to run.
    save_file(state, part, metadata={"run": json.dumps(run)})
    part.replace(path)


def load_run(folder: Path) -> tuple[System, nn.Module, dict[str, Any]]:
    """Returns the system of a run, rebuilt from its best weights alone, in evaluation mode.

    Args:
        folder: of the run, or the `best.safetensors` itself.

    Returns:
        The system, the network, and what the checkpoint states: system, config, epoch, scores, features, edgeaff.

    Raises:
        ArgumentError: there is no such file, or it is not of a run, or not of this version's network.
    """
    from safetensors import SafetensorError, safe_open

    path = folder if folder.is_file() else folder / BEST
    if not path.is_file():
        raise ArgumentError(f"run must be a folder with {BEST}, got {folder}; train first: edgeaff train --output.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        run = json.loads(metadata["run"])
        system = find_system(run["system"])
        config = TrainConfig.from_dict(run["config"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise ArgumentError(f"run must be written by edgeaff train, got {path} ({error}); train again.") from error
    module = system.build(width=config.width, sizes=config.sizes)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ArgumentError(
            f"weights in {path} must be of {system.name} as its configuration states, got others ({str(error).splitlines()[1].strip()}); "
            "build the network yourself and load_state_dict the file."
        ) from error
    return system, module.eval(), run


def save_state(folder: Path, tensors: dict[str, Tensor], note: dict[str, Any]) -> None:
    """Writes the state of an epoch; a run that is killed here resumes from the previous epoch.

    Args:
        folder: of the run.
        tensors: by name.
        note: JSON; `epoch` names the file.
    """
    from safetensors.torch import save_file

    name = f"last-{note['epoch']}.safetensors"
    save_file({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, folder / name)
    part = folder / f"{LAST}.part"
    part.write_text(json.dumps({"tensors": name, **note}), encoding="utf-8")
    part.replace(folder / LAST)
    for old in folder.glob("last-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_state(
    folder: Path, config: TrainConfig, ranks: int, features: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Returns tensors and note of the last whole epoch; None where the run has none yet.

    Args:
        folder: of the run.
        config: that the run must have.
        ranks: processes that the run must have, since each has a random state.
        features: what the features must have been made with.

    Returns:
        Tensors by name, and the note.

    Raises:
        ArgumentError: the run was started with another configuration, number of processes or features.
    """
    from safetensors.torch import load_file

    path = folder / LAST
    if not path.exists():
        return None
    note = json.loads(path.read_text(encoding="utf-8"))
    stated = {"config": asdict(config), "ranks": ranks, "features": features}
    for name, value in stated.items():
        found = note.get(name, value)  # runs of older versions did not store it
        if found != value:
            if isinstance(value, dict):
                found = {key: found.get(key) for key in value if found.get(key) != value[key]}
            raise ArgumentError(
                f"{name} must be that of the run in {folder}, which has {found}; use a new folder, or go on as before."
            )
    return load_file(folder / note["tensors"]), note


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Returns the state of an optimizer as tensors by name: `INDEX.NAME`."""
    return {
        f"{index}.{name}": value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts what `optimizer_tensors` gave back into an optimizer of the same parameters."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        states.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
