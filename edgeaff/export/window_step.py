"""The paper's window as a step: the newest row of the 100 ticks that end at a tick, with nothing computed twice that need not be.

Session says the newest row only, and positions are added after the projection, so what depends on one tick alone is made once,
when the tick comes, and kept in the state. It is the same number as from the whole window (the exporter compares):

| part | window recomputed, MMAC | step, MMAC |
|---|---|---|
| projections 2 x 4096 -> 512 | 419 | 4.2 |
| queries, keys, values of the first layers | 157 | 1.6; W (x + p) = W x + W p, and W p is a constant |
| the other layers (all rows: they see every position) | 513 | 513 |
| cross-modal attention | 230 | 106; one query, keys of all rows |
| together (N = 2, d = 512, feed-forward 512) | 1320 | 625 |

`append` makes the state alone (5.8 MMAC), for ticks on which a predictor with stride > 1 holds its value.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeaff.errors import ArgumentError
from edgeaff.export.to_onnx import SymbolicOperator, check_parity, to_model, with_operator
from edgeaff.training.attention import attend
from edgeaff.training.models.transformer import AudioVideoTransformer, EncoderLayer, WindowEncoder

WINDOW_TICKS = 100  # Paper: section 4.3
MODALITIES = ("video", "audio")
STATES = ("video", "audio", "present")


def _row(encoder: WindowEncoder, features: Tensor) -> Tensor:
    """Returns what a tick leaves behind: projection and first layer's packed product, without positions and bias, (1, 1, 4 d)."""
    token = encoder.project(features)
    first = cast(EncoderLayer, encoder.layers[0])
    return torch.cat([token, functional.linear(token, first.qkv.weight)], dim=-1)[:, None]


def _encode(encoder: WindowEncoder, rows: Tensor, mask: Tensor) -> Tensor:
    """Returns the encoder's output (1, T, d) from rows (1, T, 4 d) and mask (1, T)."""
    first, size = cast(EncoderLayer, encoder.layers[0]), rows.shape[-1] // 4
    positions = encoder.positions[: rows.shape[1]]
    tokens = rows[..., :size] + positions
    packed = rows[..., size:] + functional.linear(positions, first.qkv.weight, first.qkv.bias)
    mixed = attend(packed[..., :size], packed[..., size:], num_heads=first.num_heads, key_mask=mask)
    tokens = first.norm1(tokens + first.out(mixed))
    tokens = first.norm2(tokens + first.ffn2(torch.relu(first.ffn1(tokens))))
    for layer in list(encoder.layers)[1:]:
        tokens = layer(tokens, mask)
    return tokens


class WindowAppend(nn.Module):
    """One tick into the state, nothing else."""

    def __init__(self, system: AudioVideoTransformer) -> None:
        super().__init__()
        self.system = system

    def forward(self, video: Tensor, audio: Tensor, present: Tensor, *states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the rows of all ticks: video (1, T, 4 d), audio (1, T, 4 d), present (1, T, 2).

        Args:
            video: (1, Dv) descriptor; zeros where absent.
            audio: (1, Da) audio vector; zeros where absent.
            present: (1, 2) 0 or 1.
            states: the rows of the T - 1 ticks before.

        Returns:
            The rows with the new one at the end.
        """
        seen, heard = _row(self.system.video, video), _row(self.system.audio, audio)
        following = [
            torch.cat(pair, dim=1)[:, 1:] for pair in zip(states, (seen, heard, present[:, None]), strict=True)
        ]
        return following[0], following[1], following[2]


class WindowStep(nn.Module):
    """Newest row of the window that ends at this tick, and the state after it."""

    def __init__(self, system: AudioVideoTransformer) -> None:
        super().__init__()
        self.system = system

    def forward(self, video: Tensor, audio: Tensor, present: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Returns values (1, 2) in [-1, 1] and the next state; arguments as in `WindowAppend.forward`."""
        system, cross = self.system, self.system.cross
        made = (_row(system.video, video), _row(system.audio, audio), present[:, None])
        rows = [torch.cat(pair, dim=1) for pair in zip(states, made, strict=True)]
        video_mask, audio_mask = rows[2][..., 0] > 0.5, rows[2][..., 1] > 0.5
        seen = _encode(system.video, rows[0], video_mask)
        heard = _encode(system.audio, rows[1], audio_mask)
        newest_seen, newest_heard = seen[:, -1:], heard[:, -1:]
        fused = cross.operator(
            cross.query_audio(newest_heard),
            cross.key_value_audio(heard),
            cross.query_video(newest_seen),
            cross.key_value_video(seen),
            cross.alpha,
            cross.beta,
            num_heads=cross.num_heads,
            key_mask_audio=audio_mask,
            key_mask_video=video_mask,
            residual_audio=newest_heard if cross.residual else None,
            residual_video=newest_seen if cross.residual else None,
        )
        values = torch.clamp(system.dense(fused), -1.0, 1.0)[:, 0]
        return (values, *(row[:, 1:] for row in rows))


def initial_state(system: AudioVideoTransformer, ticks: int = WINDOW_TICKS) -> dict[str, Tensor]:
    """Returns the empty state by name: zeros, that is, no tick present."""
    size = 4 * system.config.size
    widths = {"video": size, "audio": size, "present": 2}
    return {name: torch.zeros(1, ticks - 1, width) for name, width in widths.items()}


def export_window_step(
    system: AudioVideoTransformer, *, ticks: int = WINDOW_TICKS, parity_ticks: int = 130
) -> tuple[bytes, bytes]:
    """Returns the paper's system as `affect_step.onnx`, and `affect_append.onnx`, which makes the same state and no value.

    Inputs and outputs as those of `edgeaff.export.to_onnx.export_step`; the states are rows of the window.

    Args:
        system: the trained system.
        ticks: length of the window.
        parity_ticks: ticks of random input, with gaps, on which the graphs and the whole window in torch are compared.

    Returns:
        Both serialised models.

    Raises:
        ArgumentError: the system has no encoder layer.
    """
    if not len(system.video.layers):
        raise ArgumentError("system must have at least one encoder layer, got none; export a transformer.")
    operator = SymbolicOperator()
    config, state = system.config, initial_state(system, ticks)
    arguments = (
        torch.zeros(1, config.video_size),
        torch.zeros(1, config.audio_size),
        torch.ones(1, 2),
        *state.values(),
    )
    inputs = ["video", "audio", "present", *(f"state_{name}" for name in STATES)]
    following = [f"next_state_{name}" for name in STATES]
    step = to_model(WindowStep(with_operator(system, operator)), operator, arguments, inputs, ["values", *following])
    append = to_model(WindowAppend(copy.deepcopy(system)), SymbolicOperator(), arguments, inputs, following)
    models = step.SerializeToString(), append.SerializeToString()
    runs = _runs(copy.deepcopy(system).eval(), ticks, parity_ticks)
    check_parity(models[0], runs)
    check_parity(models[1], [(feed, {name: after[name] for name in following}) for feed, after in runs[:3]])
    return models


@torch.no_grad()
def _runs(system: AudioVideoTransformer, ticks: int, count: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Returns inputs of consecutive ticks, the state that torch makes of them, and the newest row of each whole window."""
    rng = np.random.default_rng(0)
    module, state = WindowAppend(system), initial_state(system, ticks)
    past: list[tuple[Tensor, Tensor, Tensor]] = []
    runs = []
    for tick in range(count):
        present = (rng.random((1, 2)) > 0.3 * (tick % 3)).astype(np.float32)
        feed = {
            "video": rng.standard_normal((1, system.config.video_size)).astype(np.float32) * present[:, :1],
            "audio": rng.standard_normal((1, system.config.audio_size)).astype(np.float32) * present[:, 1:],
            "present": present,
        }
        before = {f"state_{name}": value.numpy() for name, value in state.items()}
        video, audio, here = (torch.from_numpy(feed[name]) for name in ("video", "audio", "present"))
        state = dict(zip(STATES, module(video, audio, here, *state.values()), strict=True))
        past = [*past, (video, audio, here)][-ticks:]
        after = {f"next_state_{name}": value.numpy() for name, value in state.items()}
        runs.append((feed | before, {"values": window_values(system, past, ticks).numpy()} | after))
    return runs


def window_values(system: AudioVideoTransformer, past: list[tuple[Tensor, Tensor, Tensor]], ticks: int) -> Tensor:
    """Returns the newest row (1, 2) of the whole window in torch; ticks before the first are masked.

    Args:
        system: in evaluation mode.
        past: (video (1, Dv), audio (1, Da), present (1, 2)) of at most `ticks` ticks, oldest first.
        ticks: length of the window.
    """
    missing = ticks - len(past)
    video, audio, present = (
        functional.pad(torch.cat([tick[index] for tick in past]), (0, 0, missing, 0))[None] for index in range(3)
    )
    masks = present[..., 0] > 0.5, present[..., 1] > 0.5
    return torch.clamp(system(video, audio, *masks), -1.0, 1.0)[:, -1]
