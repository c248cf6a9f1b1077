"""The paper's window as a step: the newest row of the 100 ticks that end at a tick, without repeated work.

Session states the newest row only, and positions are added after the projection, so what depends on one tick alone is made once,
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

from edgeaff.export.exportable import check_transformer
from edgeaff.export.to_onnx import SymbolicOperator, check_parity, to_model, with_operator
from edgeaff.export.window import Keys, encode_layers
from edgeaff.inference import WINDOW_TICKS
from edgeaff.training.models.transformer import AudioVideoTransformer, EncoderLayer, WindowEncoder

STATES = ("seen_token", "seen_packed", "heard_token", "heard_packed", "present")


def _rows(encoder: WindowEncoder, features: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the state that a tick adds, without positions and bias: projection (1, 1, d), first packed product (1, 1, 3 d)."""
    token = encoder.project(features)[:, None]
    return token, functional.linear(token, cast(EncoderLayer, encoder.layers[0]).qkv.weight)


class _Positions(nn.Module):
    """Contribution of the positions in one modality, as constants: to the tokens (T, d), and to the first packed product (T, 3 d)."""

    to_token: Tensor
    to_packed: Tensor

    @torch.no_grad()
    def __init__(self, encoder: WindowEncoder, ticks: int) -> None:
        super().__init__()
        qkv = cast(EncoderLayer, encoder.layers[0]).qkv
        self.register_buffer("to_token", encoder.positions[:ticks].clone())
        self.register_buffer("to_packed", functional.linear(self.to_token, qkv.weight, qkv.bias))


def _encode(encoder: WindowEncoder, positions: _Positions, token: Tensor, packed: Tensor, keys: Keys) -> Tensor:
    """Returns the encoder's output (1, T, d) from the rows of T ticks."""
    return encode_layers(encoder, token + positions.to_token, packed + positions.to_packed, keys)


def _extended(system: AudioVideoTransformer, inputs: tuple[Tensor, ...], states: tuple[Tensor, ...]) -> list[Tensor]:
    """Returns the rows of the ticks before and this one, in the order of STATES. inputs: video, audio, present."""
    video, audio, present = inputs
    made = (*_rows(system.video, video), *_rows(system.audio, audio), present[:, None])
    return [torch.cat(pair, dim=1) for pair in zip(states, made, strict=True)]


class WindowAppend(nn.Module):
    """One tick into the state, nothing else."""

    def __init__(self, system: AudioVideoTransformer) -> None:
        super().__init__()
        self.system = system

    def forward(self, video: Tensor, audio: Tensor, present: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Returns the state after the tick, in the order of STATES, (1, T - 1, ...) each.

        Args:
            video: (1, Dv) descriptor; zeros where absent.
            audio: (1, Da) audio vector; zeros where absent.
            present: (1, 2) 0 or 1.
            states: the rows of the T - 1 ticks before.

        Returns:
            The rows with the new one at the end and without the oldest.
        """
        return tuple(rows[:, 1:] for rows in _extended(self.system, (video, audio, present), states))


class WindowStep(nn.Module):
    """Newest row of the window that ends at this tick, and the state after it."""

    def __init__(self, system: AudioVideoTransformer, ticks: int) -> None:
        super().__init__()
        self.system = system
        self.seen, self.heard = _Positions(system.video, ticks), _Positions(system.audio, ticks)

    def forward(self, video: Tensor, audio: Tensor, present: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Returns values (1, 2) in [-1, 1] and the next state; arguments as in `WindowAppend.forward`."""
        system, cross = self.system, self.system.cross
        rows = _extended(system, (video, audio, present), states)
        video_here, audio_here = rows[4][..., 0], rows[4][..., 1]
        seen = _encode(system.video, self.seen, rows[0], rows[1], Keys(video_here))
        heard = _encode(system.audio, self.heard, rows[2], rows[3], Keys(audio_here))
        newest_seen, newest_heard = seen[:, -1:], heard[:, -1:]
        fused = cross.operator(
            cross.query_audio(newest_heard),
            cross.key_value_audio(heard),
            cross.query_video(newest_seen),
            cross.key_value_video(seen),
            cross.alpha,
            cross.beta,
            num_heads=cross.num_heads,
            key_mask_audio=audio_here > 0.5,
            key_mask_video=video_here > 0.5,
            residual_audio=newest_heard if cross.residual else None,
            residual_video=newest_seen if cross.residual else None,
        )
        values = torch.clamp(system.dense(fused), -1.0, 1.0)[:, 0]
        return (values, *(row[:, 1:] for row in rows))


def initial_state(system: AudioVideoTransformer, ticks: int = WINDOW_TICKS) -> dict[str, Tensor]:
    """Returns the empty state by name: zeros, that is, no tick present."""
    size = system.config.size
    return {
        name: torch.zeros(1, ticks - 1, width)
        for name, width in zip(STATES, (size, 3 * size, size, 3 * size, 2), strict=True)
    }


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
        Both serialized models.
    """
    check_transformer(system)
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
    module = WindowStep(with_operator(system, operator), ticks)
    step = to_model(module, operator, arguments, inputs, ["values", *following])
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
