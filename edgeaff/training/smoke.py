"""One optimisation step of a system at full size on a made-up sequence: proof that it can learn, without any data."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgeaff.training.counts import count_macs_per_frame, count_parameters
from edgeaff.training.losses import flattened_ccc_loss
from edgeaff.training.models.registry import find_system

SMOKE_TICKS = 8


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """What the step showed; printed as one JSON object by `edgeaff train --smoke`."""

    system: str
    parameters: int
    macs_per_frame: int
    loss_before: float
    loss_after: float


def smoke(name: str, *, seed: int = 0) -> SmokeResult:
    """Makes one optimisation step.

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
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    loss = flattened_ccc_loss(module(**inputs), target)
    loss.backward()
    gradient = torch.sqrt(
        sum((p.grad.square().sum() for p in module.parameters() if p.grad is not None), torch.zeros(()))
    )
    for entry in optimizer.param_groups:
        entry["lr"] = 0.02 / max(gradient.item(), 1e-12)
    optimizer.step()
    with torch.no_grad():
        after = flattened_ccc_loss(module(**inputs), target).item()
    return SmokeResult(name, count_parameters(module), count_macs_per_frame(system), before, after)
