"""The paper's Fig. 4: how agreement falls when a random share of one modality is replaced by zeros.

Paper: section 5 (0 = missing, 100 = there; random places; 10 repeats). Choice: the input of the encoder is zeroed, per frame
by default, or in one block; systems with a presence input are informed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgeaff.errors import ArgumentError
from edgeaff.training.models.registry import System
from edgeaff.training.trainer.metrics import SPLIT_NAMES, summary
from edgeaff.training.trainer.sequences import system_inputs, windows_of

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
COLUMNS = {"video": 0, "audio": 1}
KEPT_BYTES = 2 << 30  # of inputs kept for the next masking: those of a real corpus would fill the memory
BATCH_TICKS = 100  # windows up to this long go in whole batches
MODALITY_OF = {"video": "video", "crops": "video", "audio": "audio", "mel": "audio"}


@dataclass(frozen=True, slots=True)
class AblationPoint:
    """Agreement with a share of one modality: means and standard deviations over the repeats."""

    modality: str
    way: str
    share: float
    repeats: int
    ccc_valence: float
    ccc_arousal: float
    ccc_valence_sd: float
    ccc_arousal_sd: float


def kept_ticks(rng: np.random.Generator, ticks: int, share: float, way: str) -> np.ndarray:
    """Returns which ticks stay.

    Args:
        rng: source of randomness.
        ticks: T.
        share: how many stay, 0 to 1; exactly round(share * T).
        way: "frames" (anywhere) or "block" (all but one stretch).

    Returns:
        (T,) bool.

    Raises:
        ArgumentError: way is unknown or share is outside 0 to 1.
    """
    if way not in {"frames", "block"} or not 0.0 <= share <= 1.0:
        raise ArgumentError(
            f"way must be 'frames' or 'block' and share in 0..1, got {way!r}, {share}; correct the call."
        )
    keep = np.ones(ticks, dtype=bool)
    lost = ticks - round(share * ticks)
    if way == "frames":
        keep[rng.choice(ticks, size=lost, replace=False)] = False
    else:
        start = int(rng.integers(0, ticks - lost + 1))
        keep[start : start + lost] = False
    return keep


class Windows:
    """The windows that `predict` would see of some tracks, their inputs made once, to be masked many times.

    Args:
        system: of the registry.
        tracks: in any form; inputs from pixels are recomputed each time, and so is what does not fit into KEPT_BYTES.
        batch: windows at once; fewer of long ones.
        reach_ticks: of a streaming network, as in `windows_of`.
    """

    def __init__(
        self, system: System, tracks: Sequence[Any], *, batch: int = 32, reach_ticks: int | None = None
    ) -> None:
        self.lengths = [len(track.labels) for track in tracks]
        self._system, self._tracks = system, tracks
        places: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  # length -> track, start, first new tick
        for index, total in enumerate(self.lengths):
            for start, new, end in windows_of(system, total, reach_ticks):
                places[end - start].append((index, start, new))
        together = {ticks: max(1, min(batch, batch * BATCH_TICKS // ticks)) for ticks in places}
        self._batches = [
            (ticks, those[first : first + together[ticks]])
            for ticks, those in places.items()
            for first in range(0, len(those), together[ticks])
        ]
        self._kept: dict[int, dict[str, np.ndarray]] = {}
        self._room = 0 if system.from_pixels else KEPT_BYTES

    def _inputs(self, number: int) -> dict[str, np.ndarray]:
        if number in self._kept:
            return self._kept[number]
        ticks, places = self._batches[number]
        rows = [
            system_inputs(self._system, self._tracks[index], slice(start, start + ticks)) for index, start, _ in places
        ]
        inputs = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        size = sum(value.nbytes for value in inputs.values())
        if size <= self._room:
            self._kept[number] = inputs
            self._room -= size
        return inputs

    def predict(self, module: nn.Module, keeps: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns the result of `predict` for each track, computed in batches of windows of one length.

        Args:
            module: in evaluation mode, on the CPU.
            keeps: (T, 2) bool of each track, what is left of video and audio.

        Returns:
            (T, 2) float32 in [-1, 1] of each track.
        """
        values = [np.zeros((total, 2), np.float32) for total in self.lengths]
        for number, (ticks, places) in enumerate(self._batches):
            keep = np.stack([keeps[index][start : start + ticks] for index, start, _ in places])
            inputs = {
                name: torch.from_numpy(self._masked(name, value, keep)) for name, value in self._inputs(number).items()
            }
            with torch.no_grad():
                answers = module(**inputs).numpy()
            for (index, start, new), answer in zip(places, answers, strict=True):
                values[index][new : start + ticks] = answer[new - start :]
        return [np.clip(each, -1.0, 1.0) for each in values]

    def _masked(self, name: str, value: np.ndarray, keep: np.ndarray) -> np.ndarray:
        """Returns an input with zeros where its modality is lost. keep: (B, T, 2)."""
        if name == "present":
            return value * keep.astype(np.float32)
        own = keep[..., COLUMNS[MODALITY_OF.get(name, self._system.modality)]]
        if own.all():
            return value
        return value * own.reshape(*own.shape, *[1] * (value.ndim - 2)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class AblationPlan:
    """Selection of the removed ticks of a modality.

    Attributes:
        shares: of ticks that stay.
        repeats: with other random places; shares 0 and 1 have no chance in them and are run once.
        way: "frames" or "block".
        seed: of the places.
    """

    shares: Sequence[float] = SHARES
    repeats: int = 10
    way: str = "frames"
    seed: int = 0


def ablate(
    module: nn.Module,
    system: System,
    tracks: Sequence[Any],
    modality: str,
    plan: AblationPlan | None = None,
) -> list[AblationPoint]:
    """Returns the curve of one modality.

    Args:
        module: the trained network.
        system: of the registry.
        tracks: of the test set.
        modality: "video" or "audio".
        plan: how much is taken away, and how; None = as for the figure.

    Returns:
        One point per share.
    """
    plan = plan or AblationPlan()
    module.eval()
    rng = np.random.default_rng(plan.seed)
    labels, windows = (
        [track.labels for track in tracks],
        Windows(system, tracks, reach_ticks=getattr(module, "reach_ticks", None)),
    )
    points = []
    for share in plan.shares:
        runs = 1 if share in (0.0, 1.0) else plan.repeats
        scores = []
        for _ in range(runs):
            keeps = [np.ones((len(track.labels), 2), dtype=bool) for track in tracks]
            for keep in keeps:
                keep[:, COLUMNS[modality]] = kept_ticks(rng, len(keep), share, plan.way)
            result = summary(windows.predict(module, keeps), labels)
            scores.append((result["ccc_valence"], result["ccc_arousal"]))
        mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0)
        points.append(AblationPoint(modality, plan.way, share, runs, *map(float, (*mean, *spread))))
    return points


def over_seeds(curves: Sequence[Sequence[AblationPoint]]) -> list[AblationPoint]:
    """Returns the mean curve of several networks; its spread is that over the networks, or over the repeats of one.

    Args:
        curves: of the same shares, one per network.

    Returns:
        One point per share.
    """
    if len(curves) == 1:
        return list(curves[0])
    points = []
    for together in zip(*curves, strict=True):
        pairs = np.array([(point.ccc_valence, point.ccc_arousal) for point in together])
        first = together[0]
        points.append(
            AblationPoint(
                first.modality,
                first.way,
                first.share,
                first.repeats * len(together),
                *map(float, (*pairs.mean(axis=0), *pairs.std(axis=0, ddof=1))),
            )
        )
    return points


def draw_figure(path: Path, curves: dict[str, Sequence[AblationPoint]], *, split: str = "test") -> None:
    """Draws the curves as in Fig. 4: one panel per modality and way, valence solid and arousal dashed.

    Args:
        path: PNG to write.
        curves: name of a run -> its points, of any modality and way.
        split: that they were measured on.
    """
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys((point.modality, point.way) for points in curves.values() for point in points))
    figure = Figure(figsize=(4.2 * len(kinds), 3.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(kinds), sharey=True))
    colors = ("#1b6ca8", "#c8553d", "#3d8c40", "#7d4fa8", "#8a6d1b", "#444444")
    for axes, (modality, way) in zip(panels, kinds, strict=True):
        for (name, points), color in zip(curves.items(), colors * len(curves), strict=False):
            own = [point for point in points if (point.modality, point.way) == (modality, way)]
            shares = [100 * point.share for point in own]
            for what, line in (("valence", "-"), ("arousal", "--")):
                values = [getattr(point, f"ccc_{what}") for point in own]
                errors = [getattr(point, f"ccc_{what}_sd") for point in own]
                axes.errorbar(shares, values, errors, fmt=line, color=color, label=f"{name}, {what}", linewidth=1.2)
        axes.set(xlabel=f"{modality} present, % of {way}", xticks=[0, 25, 50, 75, 100])
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"CCC on the {SPLIT_NAMES[split]} tracks")
    panels[-1].legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=110)


def write_report(folder: Path, curves: dict[str, Sequence[AblationPoint]], *, split: str = "test", **more: Any) -> None:
    """Writes fig4.json, fig4.md and fig4.png.

    Args:
        folder: made where it is missing.
        curves: name of a run -> its points.
        split: that they were measured on.
        more: other keys of the JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"run": name, **asdict(point)} for name, points in curves.items() for point in points]
    (folder / "fig4.json").write_text(
        json.dumps({"points": rows, "split": split, **more}, indent=1) + "\n", encoding="utf-8"
    )
    lines = ["| run | modality | share | CCC valence | CCC arousal |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['run']} | {row['modality']} ({row['way']}) | {row['share']:.2f} | {row['ccc_valence']:.3f} ± "
        f"{row['ccc_valence_sd']:.3f} | {row['ccc_arousal']:.3f} ± {row['ccc_arousal_sd']:.3f} |"
        for row in rows
    ]
    (folder / "fig4.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw_figure(folder / "fig4.png", curves, split=split)
