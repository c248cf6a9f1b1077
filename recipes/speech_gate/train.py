"""Trains the speech gate: `python -m recipes.speech_gate.train --sessions TRAIN.npz HELD.npz --output speech.npz`.

Positive are the utterances of the sessions that `recipes.default_bundle` makes of the recorded voices, through rooms, microphones
and noise; negative are their long pauses and the clips of `recipes.speech_gate.no_speech`. Held-out speakers and clips choose the
thresholds.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeaff.bundle import pack_arrays
from edgeaff.errors import ArgumentError
from edgeaff.features.speech import RMS_COLUMN, SHORT_SECONDS, SLOW_SECONDS, STATISTICS, SpeechGate, compress
from edgeaff.lld_names import NAMES
from edgeaff.machine import stamp
from edgeaff.spec import LLD_SIZE, PreprocessSpec
from recipes.default_bundle.sessions import TICK_RATE_HZ, VoiceSession, lld_steps, load_sessions
from recipes.speech_gate.no_speech import KINDS, SPEAK, make

logger = logging.getLogger(__name__)
LEAST_RMS = 2e-4  # about -74 dB of full scale: below it nothing is heard
HOLD_STEPS = 20
HYSTERESIS = 0.5  # of the log odds, between opening and closing
ONSET_TICKS, TAIL_TICKS = 6, 14  # after the start and the end of an utterance, where either answer is right
CHANNEL_BLUR = 0.4
VOICE_COLUMNS = (*range(6), NAMES.index("pcm_fftMag_spectralHarmonicity_sma"))
BURSTS = "EmoGator"  # laughter and cries: not counted, neither as speech nor as something else
FALSE_SHARE = 0.018  # most of any kind of clip, per step, on held-out clips
SETTLE_TICKS = 2 * TICK_RATE_HZ


@dataclass(frozen=True, slots=True)
class Steps:
    """One session or clip. lld: (T, 65); wanted, weight: (T,) float32; kind: where it is from."""

    lld: np.ndarray
    wanted: np.ndarray
    weight: np.ndarray
    kind: str


def of_session(session: VoiceSession) -> Steps:
    """Returns the steps of a session with what the gate is to say of them."""
    speaking = session.speaking & session.present
    ticks = np.arange(len(speaking))
    starts = np.flatnonzero(np.diff(np.concatenate([[False], speaking]).astype(int)) == 1)
    since_start = ticks - np.maximum.accumulate(np.where(np.isin(ticks, starts), ticks, -1000))
    since_end = ticks - np.maximum.accumulate(np.where(speaking, ticks, -1000))
    weight = np.where(speaking, since_start >= ONSET_TICKS, since_end >= TAIL_TICKS).astype(np.float32)
    weight *= session.present * (1.0 if session.corpus != BURSTS else ~speaking)
    return Steps(session.lld, speaking.astype(np.float32), weight.astype(np.float32), session.corpus)


def clips(seed: int, count: int, spec: PreprocessSpec) -> list[Steps]:
    """Returns clips without speech, kinds by their shares."""
    random = np.random.default_rng(seed)
    shares = np.array([share for _, share in KINDS.values()])
    made = []
    for _ in range(count):
        kind = str(random.choice(list(KINDS), p=shares / shares.sum()))
        lld, present = lld_steps(make(random, kind, float(random.uniform(5.0, 9.0))), spec)
        made.append(of_silence(lld[present], kind))
    return made


def of_silence(lld: np.ndarray, kind: str) -> Steps:
    """Returns the steps of a clip in which nobody speaks."""
    return Steps(lld, np.zeros(len(lld), np.float32), np.full(len(lld), 2.0, np.float32), kind)


def synthetic_voices(seed: int, count: int, spec: PreprocessSpec) -> list[Steps]:
    """Returns synthetic voices, which count as speech, though little."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        lld, present = lld_steps(make(random, SPEAK, float(random.uniform(3.0, 7.0))), spec)
        weight = np.full(int(present.sum()), 0.7, np.float32)
        weight[:ONSET_TICKS] = 0.0
        made.append(Steps(lld[present], np.ones(len(weight), np.float32), weight, SPEAK))
    return made


def scales(sequences: Sequence[Steps]) -> dict[str, np.ndarray]:
    """Returns factor, mean and std of each column, so that compressed columns have about unit spread."""
    rows = np.concatenate([sequence.lld for sequence in sequences]).astype(np.float64)
    rows = rows[rows[:, RMS_COLUMN] > LEAST_RMS]
    size = np.where(np.abs(rows) > 0, np.abs(rows), np.nan)
    factor = 1.0 / np.maximum(np.nanquantile(size, 0.3, axis=0), 1e-9)
    squashed = np.arcsinh(rows * factor)
    return {"factor": factor, "mean": squashed.mean(axis=0), "std": np.maximum(squashed.std(axis=0), 1e-3)}


def statistics(sequences: Sequence[Steps], weights: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Returns the inputs of the gate's network at each step, one (T, 260) float32 array a sequence, as the gate forms them."""
    short_gain, slow_gain = (1 - np.exp(-1 / TICK_RATE_HZ / t) for t in (SHORT_SECONDS, SLOW_SECONDS))
    made = []
    for sequence in sequences:
        x = compress(sequence.lld.astype(np.float64), weights)
        short, slow, rough, swing = np.zeros((STATISTICS, LLD_SIZE))
        rows = np.empty((len(x), STATISTICS, LLD_SIZE), np.float32)
        for tick, row in enumerate(x):
            short = short + short_gain * (row - short)
            slow = slow + slow_gain * (row - slow)
            rough = rough + slow_gain * (np.abs(row - short) - rough)
            swing = swing + slow_gain * (np.abs(short - slow) - swing)
            rows[tick] = short, slow, rough, swing
        made.append(rows.reshape(len(x), -1))
    return made


def fit(
    inputs: np.ndarray, wanted: np.ndarray, weight: np.ndarray, *, hidden: int = 32, steps: int = 4000, seed: int = 0
) -> nn.Sequential:
    """Returns the trained network: (N, 260) statistics to log odds.

    Args:
        inputs: (N, 260) float32.
        wanted: (N,) 0 or 1.
        weight: (N,).
        hidden: width of the hidden layer.
        steps: of 512 rows.
        seed: of weights and order.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = nn.Sequential(nn.Linear(inputs.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, 1))
    # Choice: what a microphone, a telephone or a distance sets (level, slope, bands, cepstra) is blurred, the same for both means
    # of a column, so that its changes count more.
    channel = torch.full((LLD_SIZE,), CHANNEL_BLUR)
    channel[list(VOICE_COLUMNS)] = 0.0
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    odds = np.cumsum(weight / weight.sum())
    for _ in range(steps):
        rows = np.minimum(np.searchsorted(odds, random.random(512)), len(odds) - 1)
        batch: Tensor = torch.from_numpy(inputs[rows])
        batch = batch * (torch.rand(1, batch.shape[1]) > 0.12) + 0.1 * torch.randn_like(batch)
        blur = channel * torch.randn(len(batch), LLD_SIZE)
        batch = batch + torch.cat([blur, blur, torch.zeros(len(batch), 2 * LLD_SIZE)], dim=1)
        loss = nn.functional.binary_cross_entropy_with_logits(network(batch)[:, 0], torch.from_numpy(wanted[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def arrays_of(network: nn.Sequential, weights: dict[str, np.ndarray], rules: Sequence[float]) -> dict[str, np.ndarray]:
    """Returns the arrays of `speech.npz`."""
    first, last = network[0], network[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    made = {
        **weights,
        "hidden": first.weight.detach().numpy().T,
        "hidden_bias": first.bias.detach().numpy(),
        "out": last.weight.detach().numpy()[0],
        "out_bias": last.bias.detach().numpy(),
        "rules": np.asarray(rules),
    }
    return {name: np.ascontiguousarray(array, np.float32) for name, array in made.items()}


def shares_open(gate: SpeechGate, sequences: Sequence[Steps]) -> dict[str, dict[str, float]]:
    """Measures a gate.

    Args:
        gate: the gate.
        sequences: voices and clips.

    Returns:
        By kind, the share of steps with an open gate: `speech` within utterances, `other` elsewhere after 2 s.
    """
    found: dict[str, list[list[bool]]] = {}
    for sequence in sequences:
        gate.reset()
        speech, other = found.setdefault(sequence.kind, [[], []])
        for tick, (row, wanted, weight) in enumerate(zip(sequence.lld, sequence.wanted, sequence.weight, strict=True)):
            is_open = gate.push(row)
            if weight > 0 and wanted > 0.5:
                speech.append(is_open)
            elif weight > 0 and tick >= SETTLE_TICKS:
                other.append(is_open)
    return {
        kind: {
            name: round(float(np.mean(flags)), 4)
            for name, flags in zip(("speech", "other"), both, strict=True)
            if flags
        }
        for kind, both in sorted(found.items())
    }


def threshold(arrays: dict[str, np.ndarray], sequences: Sequence[Steps]) -> float:
    """Returns the log odds, in steps of 0.25, at which at most FALSE_SHARE of the steps of any kind of clip are open after 2 s.

    Args:
        arrays: of `speech.npz`.
        sequences: clips in which nobody speaks.

    Raises:
        ArgumentError: no odds separate them from speech.
    """
    gate = SpeechGate(arrays)
    traces = []
    for sequence in sequences:
        gate.reset()
        odds = np.array([gate.odds(row) for row in sequence.lld])
        traces.append((sequence.kind, np.where(sequence.lld[:, RMS_COLUMN] > LEAST_RMS, odds, -np.inf)))
    for limit in np.arange(0.0, 12.0, 0.25):
        shares: dict[str, list[np.ndarray]] = {}
        for kind, odds in traces:
            shares.setdefault(kind, []).append(_open_steps(odds, float(limit))[SETTLE_TICKS:])
        if max(float(np.mean(np.concatenate(flags))) for flags in shares.values()) <= FALSE_SHARE:
            return float(limit)
    raise ArgumentError("sequences must be separable from speech, got clips that stay above odds of 12; train longer.")


def _open_steps(odds: np.ndarray, limit: float) -> np.ndarray:
    """Returns at which steps the gate is open: the rule of SpeechGate.push over a whole trace."""
    quiet, flags = HOLD_STEPS + 1, np.zeros(len(odds), bool)
    for tick, value in enumerate(odds):
        quiet = 0 if value > limit - (HYSTERESIS if quiet <= HOLD_STEPS else 0.0) else min(quiet + 1, HOLD_STEPS + 1)
        flags[tick] = quiet <= HOLD_STEPS
    return flags


def train(
    train_set: Sequence[Steps], held: Sequence[Steps], **options: Any
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the arrays of `speech.npz`, and the shares of open steps on held-out voices and clips.

    Args:
        train_set: to learn from.
        held: to choose the threshold by.
        options: of `fit`.
    """
    weights = scales(train_set)
    inputs = np.concatenate(statistics(train_set, weights))
    wanted = np.concatenate([sequence.wanted for sequence in train_set])
    weight = np.concatenate([sequence.weight for sequence in train_set])
    weight[wanted > 0.5] *= weight[wanted <= 0.5].sum() / max(weight[wanted > 0.5].sum(), 1e-9)
    network = fit(inputs, wanted, weight, **options)
    rules = [0.0, 0.0, HOLD_STEPS, LEAST_RMS]
    arrays = arrays_of(network, weights, rules)
    limit = threshold(arrays, [sequence for sequence in held if sequence.kind in KINDS])
    rules[:2] = [limit, limit - HYSTERESIS]
    arrays = arrays_of(network, weights, rules)
    return arrays, {"open_above": round(limit, 4), "open": shares_open(SpeechGate(arrays), held)}


def main() -> None:
    """Trains from the command line."""
    parser = argparse.ArgumentParser(prog="python -m recipes.speech_gate.train", description=__doc__)
    parser.add_argument(
        "--sessions", type=Path, nargs=2, required=True, help="caches of training and held-out sessions"
    )
    parser.add_argument(
        "--clips", type=int, default=400, help="generated clips to train on; a quarter as many are held out"
    )
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    spec = PreprocessSpec()
    sets = [
        [of_session(session) for session in load_sessions(path)]
        + clips(seed, count, spec)
        + synthetic_voices(seed, count // 4, spec)
        for path, seed, count in zip(options.sessions, (1, 90), (options.clips, options.clips // 4), strict=True)
    ]
    arrays, figures = train(*sets)
    options.output.write_bytes(pack_arrays(arrays))
    options.output.with_suffix(".json").write_text(json.dumps({**stamp(), **figures}, indent=1) + "\n")
    logger.info("%s", json.dumps(figures))


if __name__ == "__main__":
    main()
