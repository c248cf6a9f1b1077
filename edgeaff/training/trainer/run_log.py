"""The log of a run: log.csv, TensorBoard where it is installed, and learning curves as an image."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
LOG, CURVES, BOARD = "log.csv", "curves.png", "tensorboard"
Row = dict[str, float]


class RunLog:
    """Writes what each epoch gave.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._board: Any = None

    def start(self, epoch: int) -> None:
        """Opens TensorBoard's log; events of this epoch and later ones, of a run that was killed, are void.

        Args:
            epoch: the next one.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            logger.info("no TensorBoard log: tensorboard is not installed (extra train)")
            return
        self._board = SummaryWriter(str(self._folder / BOARD), purge_step=epoch)

    def write(self, rows: Sequence[Row]) -> None:
        """Writes the whole history, whole or not at all, and the newest epoch to TensorBoard.

        Args:
            rows: one per epoch, each with `epoch`.
        """
        part = self._folder / f"{LOG}.part"
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        part.replace(self._folder / LOG)
        if self._board is not None:
            for name, value in rows[-1].items():
                if name != "epoch":
                    self._board.add_scalar(name, value, int(rows[-1]["epoch"]))
            self._board.flush()

    def finish(self, rows: Sequence[Row], best_epoch: int) -> None:
        """Closes TensorBoard's log and draws the learning curves.

        Args:
            rows: one per epoch.
            best_epoch: marked in the image.
        """
        if self._board is not None:
            self._board.close()
            self._board = None
        if rows:
            draw_curves(self._folder / CURVES, rows, best_epoch)


def draw_curves(path: Path, rows: Sequence[Row], best_epoch: int) -> None:
    """Draws loss (left) and CCC on validation (right) over epochs.

    Args:
        path: PNG to write.
        rows: with epoch, loss, ccc_valence, ccc_arousal, ccc_mean.
        best_epoch: whose weights were kept.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        logger.info("no learning curves: matplotlib is not installed (extra train)")
        return
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    loss, agreement = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    loss.plot(epochs, [row["loss"] for row in rows], marker=".", color="#444444")
    loss.set(xlabel="epoch", ylabel="loss on training batches")
    for name, color in (("valence", "#1b6ca8"), ("arousal", "#c8553d"), ("mean", "#444444")):
        agreement.plot(epochs, [row[f"ccc_{name}"] for row in rows], marker=".", color=color, label=name)
    agreement.axvline(best_epoch, color="#999999", linestyle=":", label="kept")
    agreement.set(xlabel="epoch", ylabel="CCC on validation")
    agreement.legend(frameon=False)
    for axes in (loss, agreement):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
