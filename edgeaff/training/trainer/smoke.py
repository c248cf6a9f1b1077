"""One optimization step of a system at full size on a synthetic sequence: proof that it can learn, without any data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeaff.training.models.registry import find_system
from edgeaff.training.trainer.complexity import count_macs_per_frame, count_parameters
from edgeaff.training.trainer.losses import flattened_ccc_loss

SMOKE_TICKS = 8
LONGEST_STEP, HALVINGS = 0.02, 10


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """Result of the step; printed as one JSON object by `edgeaff train --smoke`."""

    system: str
    parameters: int
    macs_per_frame: int
    loss_before: float
    loss_after: float


def lowering_step(module: nn.Module, loss_of: Callable[[], Tensor], before: float) -> float:
    """Makes one step down the gradient, as long as the loss allows: a step that overshoots is taken back and halved.

    Initial weights differ in how far their gradient can be trusted: networks of many layers without normalization overshoot
    with a step that others hardly feel.

    Args:
        module: whose weights move.
        loss_of: computes the loss of the module, with a gradient.
        before: the loss where it starts.

    Returns:
        The loss after the step; not below `before` only where ten halvings did not help.
    """
    module.zero_grad(set_to_none=True)
    loss_of().backward()
    moved = [(value, value.grad) for value in module.parameters() if value.grad is not None]
    length = torch.sqrt(sum((gradient.square().sum() for _, gradient in moved), torch.zeros(())))
    step = LONGEST_STEP / max(length.item(), 1e-12)
    after = before
    with torch.no_grad():
        for value, gradient in moved:
            value.sub_(gradient, alpha=step)
        for _ in range(HALVINGS):
            after = loss_of().item()
            if after < before:
                break
            step /= 2
            for value, gradient in moved:
                value.add_(gradient, alpha=step)
    return after


def smoke(name: str, *, seed: int = 0) -> SmokeResult:
    """Makes one optimization step.

    Args:
        name: of SYSTEMS.
        seed: of weights and inputs.

    Returns:
        Size, cost, and the loss on the same sequence before and after the step, without dropout.
    """
    system = find_system(name)
    torch.manual_seed(seed)
    module = system.build()
    inputs = system.made_up_inputs(1, SMOKE_TICKS, seed=seed)
    phase = torch.linspace(0.0, 3.0, SMOKE_TICKS)
    target = torch.stack([torch.sin(phase), torch.cos(phase)], dim=-1)[None] * 0.6
    module.eval()  # one sequence: batch statistics would make the loss before and after another one
    with torch.no_grad():
        before = flattened_ccc_loss(module(**inputs), target).item()
    after = lowering_step(module, lambda: flattened_ccc_loss(module(**inputs), target), before)
    return SmokeResult(name, count_parameters(module), count_macs_per_frame(system), before, after)
