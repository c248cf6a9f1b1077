"""Several processes on one batch (`torchrun`): each computes a share of it, the loss is that of the whole.

The CCC of a batch is no mean over its sequences, so outputs are gathered before the loss: every process computes the same
loss of the whole batch, and its gradient through its own share. Summed, these are the gradient that one process computes.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from edgeaff.errors import ArgumentError
from edgeaff.training.trainer.losses import training_outputs

T = TypeVar("T")


class Ranks:
    """The processes of a run; alone where no process group was made.

    Attributes:
        rank: of this process.
        count: of processes.
    """

    def __init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.count = dist.get_world_size() if together else 1

    def check_batch(self, batch: int) -> None:
        """Checks that the batch can be shared.

        Raises:
            ArgumentError: it is no multiple of the number of processes.
        """
        if batch % self.count:
            raise ArgumentError(f"batch must be a multiple of the {self.count} processes, got {batch}; change either.")

    def wrap(self, module: nn.Module, loss: str) -> nn.Module:
        """Returns a module of the inputs that gives the outputs for the loss, with gradients shared by all processes.

        Args:
            module: a system.
            loss: key of LOSSES.
        """
        outputs = _Outputs(module, loss)
        if self.count == 1:
            return outputs
        return nn.parallel.DistributedDataParallel(outputs)

    def gather(self, tensor: Tensor) -> Tensor:
        """Returns the rows of all processes, in order of rank; those of this process keep their gradient."""
        if self.count == 1:
            return tensor
        own = tensor.detach().contiguous()
        parts = [torch.empty_like(own) for _ in range(self.count)]
        dist.all_gather(parts, own)
        parts[self.rank] = tensor
        return torch.cat(parts)

    def gather_objects(self, value: T) -> list[T]:
        """Returns the value of every process, in order of rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Returns when every process is here."""
        if self.count > 1:
            dist.barrier()


class _Outputs(nn.Module):
    def __init__(self, module: nn.Module, loss: str) -> None:
        super().__init__()
        self.module, self.loss = module, loss

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return training_outputs(self.module, self.loss, inputs)
