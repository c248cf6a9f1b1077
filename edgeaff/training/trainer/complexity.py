"""Parameters and multiply-accumulates of a system, counted from what it does; tests hold them against closed forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgeaff.training.models.edge import Edge
from edgeaff.training.models.registry import System


def count_parameters(module: nn.Module) -> int:
    """Returns the number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _recurrent_macs(module: nn.Module) -> int:
    """Returns the MACs of all GRUs for one tick: 3 h (i + h) per layer and direction."""
    total = 0
    for gru in module.modules():
        if isinstance(gru, nn.GRU):
            directions = 2 if gru.bidirectional else 1
            for layer in range(gru.num_layers):
                inputs = gru.input_size if layer == 0 else directions * gru.hidden_size
                total += directions * 3 * gru.hidden_size * (inputs + gru.hidden_size)
    return total


class _NoRecurrence(nn.Module):
    """Stands in for a GRU while the rest is counted: zeros of the right shape."""

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        self.width = gru.hidden_size * (2 if gru.bidirectional else 1)

    def forward(self, sequence: torch.Tensor) -> tuple[torch.Tensor, None]:
        return sequence.new_zeros(*sequence.shape[:2], self.width), None


def count_macs_per_frame(system: System, *, width: float = 1.0, sizes: Mapping[str, Any] | None = None) -> int:
    """Returns the multiply-accumulates behind one emitted value pair.

    A windowed system is counted over its window, divided by the ticks in it (the paper's disjoint windows); the streaming
    one by its step with a full memory. Products of matrices and convolutions count; softmax, norms and sums do not.

    Args:
        system: of the registry.
        width: of a system on pixels.
        sizes: of a system on features.

    Returns:
        MACs per tick, rounded.
    """
    with torch.device("meta"):
        module = system.build(width=width, sizes=sizes).eval()
    recurrent = _recurrent_macs(module)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.GRU):
                setattr(parent, name, _NoRecurrence(child))
    ticks = 1 if system.streaming else system.window_ticks
    inputs = {name: torch.empty(1, ticks, *shape, device="meta") for name, shape in system.inputs_for(sizes).items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if isinstance(module, Edge):
            video, audio, present = (inputs[name][:, 0] for name in ("video", "audio", "present"))
            module.step(video, audio, present, module.initial_state())
        else:
            module(**inputs)
    return round(counter.get_total_flops() / 2 / ticks) + recurrent
