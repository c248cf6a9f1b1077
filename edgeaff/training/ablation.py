"""The paper's Fig. 4: how agreement falls when a random share of one modality is replaced by zeros.

Paper: section 5 (0 = missing, 100 = there; random places; 10 repeats). Choice: the input of the encoder is zeroed, per frame
by default, or in one block; systems that know absence are told of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import nn

from edgeaff.errors import ArgumentError
from edgeaff.training.feature_cache import Features
from edgeaff.training.metrics import summary
from edgeaff.training.models.registry import System
from edgeaff.training.train import predict

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
COLUMNS = {"video": 0, "audio": 1}


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


def ablate(
    module: nn.Module,
    system: System,
    tracks: Sequence[Features],
    modality: str,
    *,
    shares: Sequence[float] = SHARES,
    repeats: int = 10,
    way: str = "frames",
    seed: int = 0,
) -> list[AblationPoint]:
    """Returns the curve of one modality.

    Args:
        module: the trained network.
        system: of the registry.
        tracks: of the test set.
        modality: "video" or "audio".
        shares: of ticks that stay.
        repeats: with other random places; shares 0 and 1 have no chance in them and are run once.
        way: "frames" or "block".
        seed: of the places.

    Returns:
        One point per share.
    """
    module.eval()
    rng = np.random.default_rng(seed)
    labels = [track.labels for track in tracks]
    points = []
    for share in shares:
        runs = 1 if share in (0.0, 1.0) else repeats
        scores = []
        for _ in range(runs):
            predictions = []
            for track in tracks:
                keep = np.ones((len(track.labels), 2), dtype=bool)
                keep[:, COLUMNS[modality]] = kept_ticks(rng, len(keep), share, way)
                predictions.append(predict(module, system, track, keep))
            result = summary(predictions, labels)
            scores.append((result["ccc_valence"], result["ccc_arousal"]))
        mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0)
        points.append(AblationPoint(modality, way, share, runs, *map(float, (*mean, *spread))))
    return points


def write_report(folder: Path, curves: dict[str, Sequence[AblationPoint]]) -> None:
    """Writes fig4.json and fig4.md.

    Args:
        folder: made where it is missing.
        curves: name of a run -> its points.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"run": name, **asdict(point)} for name, points in curves.items() for point in points]
    (folder / "fig4.json").write_text(json.dumps({"points": rows}, indent=1) + "\n")
    lines = ["| run | modality | share | CCC valence | CCC arousal |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['run']} | {row['modality']} ({row['way']}) | {row['share']:.2f} | {row['ccc_valence']:.3f} ± "
        f"{row['ccc_valence_sd']:.3f} | {row['ccc_arousal']:.3f} ± {row['ccc_arousal_sd']:.3f} |"
        for row in rows
    ]
    (folder / "fig4.md").write_text("\n".join(lines) + "\n")
