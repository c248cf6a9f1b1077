"""The training loop of the three recipes: AdamW, averaged weights, schedules, checkpoints, and a run that stops when asked.

```
loop = Loop(network, weight_decay=0.05, clip_norm=1.0, average_decay=0.998)
loop.load(path)                                   # resumes from a checkpoint
while loop.step < steps and not stop.requested:
    loop.update(loss_of(loop.network(batch)), learning_rate=peak * half_cosine(loop.step / steps))
loop.save(path, {"epoch": 3})                     # safetensors: network, average, optimizer, step and the note
```
`loop.average` is the network to use: an exponential moving average of weights and batch statistics.
"""

from __future__ import annotations

import copy
import json
import math
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from edgeaff.training.trainer.checkpoint import optimizer_tensors, part_of, restore_optimizer

CHECKPOINT = "checkpoint.safetensors"  # in the folder of a run
NETWORK, AVERAGE, OPTIMIZER = "network.", "average.", "optimizer."


def half_cosine(progress: float) -> float:
    """Returns 1 at progress 0 and 0 at progress 1, along a cosine."""
    return (1.0 + math.cos(math.pi * progress)) / 2.0


def make_optimizer(
    network: nn.Module, *, weight_decay: float, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.AdamW:
    """Returns AdamW with weight decay on matrices and kernels only.

    Args:
        network: its parameters are optimized.
        weight_decay: of parameters with more than one axis.
        betas: decay of the two moments.
    """
    decayed = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=betas)


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves averaged weights and statistics towards those of a network; counters are copied.

    Args:
        average: changed.
        network: of the same sizes.
        decay: share of the average that is kept.
    """
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1.0 - decay)
        else:
            mean.copy_(value)


class Loop:
    """A network, its optimizer and its average, with the number of steps made.

    Args:
        network: the network to train; moved to its device by the caller.
        weight_decay: of matrices and kernels.
        clip_norm: largest norm of the gradient.
        average_decay: share of the average that a step keeps, once there were many steps.
        average_lag: the share kept after n steps is (1 + n) / (average_lag + n), if that is less.
        betas: of AdamW.

    Attributes:
        network: the network in training.
        average: the averaged network, in evaluation mode.
        optimizer: AdamW.
        step: number of updates made.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        weight_decay: float,
        clip_norm: float,
        average_decay: float,
        average_lag: int = 10,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.network = network
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self.optimizer = make_optimizer(network, weight_decay=weight_decay, betas=betas)
        self.step = 0
        self._clip_norm, self._decay, self._lag = clip_norm, average_decay, average_lag

    def update(self, loss: Tensor, *, learning_rate: float, averaged_steps: int | None = None) -> None:
        """Makes one optimization step.

        Args:
            loss: scalar with a gradient.
            learning_rate: of this step.
            averaged_steps: steps that the average has seen; None = all that were made.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self._clip_norm)
        self.optimizer.step()
        seen = self.step if averaged_steps is None else averaged_steps
        move_average(self.average, self.network, min(self._decay, (1 + seen) / (self._lag + seen)))
        self.step += 1

    def save(self, path: Path, note: Mapping[str, Any], extra: Mapping[str, Tensor] | None = None) -> None:
        """Writes a checkpoint, whole or not at all.

        Args:
            path: safetensors file.
            note: JSON that `read_checkpoint` gives back; `step` is added.
            extra: more tensors by name.
        """
        from safetensors.torch import save_file

        tensors = {f"{NETWORK}{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"{AVERAGE}{name}": value for name, value in self.average.state_dict().items()}
        tensors |= {f"{OPTIMIZER}{name}": value for name, value in optimizer_tensors(self.optimizer).items()}
        tensors |= dict(extra or {})
        part = path.with_name(f".{path.name}.part")
        held = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        save_file(held, part, metadata={"note": json.dumps({**note, "step": self.step})})
        part.replace(path)

    def load(self, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Goes on from a checkpoint.

        Args:
            path: file that `save` wrote for a network of the same sizes.

        Returns:
            The note, and all tensors by name.
        """
        tensors, note = read_checkpoint(path)
        self.network.load_state_dict(part_of(tensors, NETWORK))
        self.average.load_state_dict(part_of(tensors, AVERAGE))
        restore_optimizer(self.optimizer, part_of(tensors, OPTIMIZER))
        self.step = int(note["step"])
        return note, tensors


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the tensors of a checkpoint by name, and its note."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        note: dict[str, Any] = json.loads((file.metadata() or {})["note"])
        return {name: file.get_tensor(name) for name in file.keys()}, note  # noqa: SIM118


def averaged_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights of the averaged network among the tensors of a checkpoint."""
    return part_of(dict(tensors), AVERAGE)


class Stop:
    """Request to end the run: SIGTERM and Ctrl-C set `requested` instead of ending the process."""

    def __init__(self) -> None:
        self.requested = False

    def listen(self) -> None:
        """Takes over both signals; call it on the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
