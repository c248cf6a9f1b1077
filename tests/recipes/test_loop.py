"""The loop of the recipes: averages, schedules, checkpoints that a run goes on from exactly, and a stop on request."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.needs_torch


def make_loop(seed: int = 0):
    import torch
    from torch import nn

    from recipes.loop import Loop

    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    return Loop(network, weight_decay=0.1, clip_norm=1.0, average_decay=0.9)


def advance(loop, steps: int) -> None:
    import torch

    for _ in range(steps):
        generator = torch.Generator().manual_seed(loop.step)
        inputs = torch.randn(8, 3, generator=generator)
        loss = (loop.network(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        loop.update(loss, learning_rate=0.01 * (loop.step + 1))


def test_loop_goes_on_exactly_from_a_checkpoint(tmp_path):
    import torch

    whole, first, second = make_loop(), make_loop(), make_loop(seed=1)
    advance(whole, 7)
    advance(first, 3)
    first.save(tmp_path / "a.safetensors", {"epoch": 3}, {"weights": torch.ones(2)})
    note, tensors = second.load(tmp_path / "a.safetensors")
    assert note == {"epoch": 3, "step": 3} and tensors["weights"].tolist() == [1.0, 1.0]
    advance(second, 4)
    for mine, theirs in ((second.network, whole.network), (second.average, whole.average)):
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[name], value, rtol=0, atol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_loop_decays_matrices_alone():
    loop = make_loop()
    decays = {
        group["weight_decay"]: {weight.ndim for weight in group["params"]} for group in loop.optimizer.param_groups
    }
    assert decays == {0.1: {2}, 0.0: {1}}


def test_average_follows_quickly_at_first_and_copies_counters():
    import torch

    loop = make_loop()
    before = loop.average[0].weight.clone()
    advance(loop, 1)
    expected = before + 0.9 * (loop.network[0].weight - before)  # (1 + 0) / (10 + 0) is kept
    torch.testing.assert_close(loop.average[0].weight, expected)
    assert int(loop.average[1].num_batches_tracked) == 1


def test_half_cosine_falls_from_one_to_zero():
    from recipes.loop import half_cosine

    assert [half_cosine(progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])


def test_stop_is_requested_by_a_signal():
    code = (
        "import os, signal, sys\n"
        "from recipes.loop import Stop\n"
        "stop = Stop()\n"
        "stop.listen()\n"
        "os.kill(os.getpid(), int(sys.argv[1]))\n"
        "sys.exit(0 if stop.requested else 1)\n"
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        assert subprocess.run([sys.executable, "-c", code, str(int(number))], cwd=ROOT, check=False).returncode == 0
