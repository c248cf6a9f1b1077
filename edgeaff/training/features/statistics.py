"""Mean and deviation of the LLDs over the training tracks, for fixed normalization. Paper: section 4.2.2.

Validation and test tracks do not enter. Each video leaves its sums on disk, so that a killed run resumes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError, EdgeaffError
from edgeaff.features.normalize import LEAST_STD, LldStatistics
from edgeaff.preprocess import Preprocessor, PreprocessParts
from edgeaff.preprocess.inputs import TickInput
from edgeaff.spec import LLD_SIZE, PreprocessSpec
from edgeaff.training.corpora.record import Track, size_of
from edgeaff.workers import Limits, beat, run_jobs

FOLDER = "audio_sums"
SILENCE_SECONDS = 600.0  # without samples: the file holds its decoder up


class AsMeasured:
    """Stands where the normalizer is and leaves the LLDs unchanged, where statistics are not known yet."""

    def update_and_normalize(self, lld: np.ndarray) -> np.ndarray:
        """Returns the same values."""
        return lld

    def reset(self) -> None:
        """Does nothing."""


def stack_steps(ticks: Sequence[TickInput]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the LLD steps of ticks: (T, 65) float32, zeros where audio is missing, and (T,) bool where it is there."""
    heard = np.array([tick.lld is not None for tick in ticks])
    return np.stack([np.zeros(LLD_SIZE, np.float32) if tick.lld is None else tick.lld for tick in ticks]), heard


@dataclass(frozen=True, slots=True)
class SumJob:
    """One video to sum up, and where to."""

    media: Path
    spec: PreprocessSpec
    result: Path


def training_statistics(
    tracks: Sequence[Track], spec: PreprocessSpec, cache: Path, *, workers: int = 0
) -> dict[str, list[float]]:
    """Returns lld_mean and lld_std over every tick with audio of the training tracks.

    Args:
        tracks: of the corpus; those of other splits are passed over, and videos that cannot be read (extraction names them).
        spec: of the features.
        cache: folder of the features; the sums lie in a folder in it.
        workers: processes; 0 does all in this one.

    Returns:
        Two lists of 65 numbers.

    Raises:
        ArgumentError: no training track has audio.
    """
    folder = cache / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    videos = sorted({track.media for track in tracks if track.split == "train" and track.media is not None})
    jobs = [SumJob(video, spec, folder / f"{_digest(video, spec)}.npy") for video in videos]
    for _ in run_jobs(
        [job for job in jobs if not job.result.exists()],
        sum_up,
        workers=workers,
        limits=Limits(silence_seconds=SILENCE_SECONDS),
    ):
        pass  # what has no sums is named by the extraction of the same video, which follows
    sums = sum((np.load(job.result, allow_pickle=False) for job in jobs if job.result.exists()), np.zeros(3 * LLD_SIZE))
    count, total, squares = sums.reshape(3, LLD_SIZE)
    if count[0] < 2:
        raise ArgumentError(
            f"corpus must hold training videos with audio for the statistics of the LLDs, got {len(videos)} videos with "
            f"{int(count[0])} ticks of it; take --preset edge, which brings its own."
        )
    mean = total / count
    std = np.maximum(np.sqrt(np.maximum(squares / count - mean**2, 0.0)), LEAST_STD)
    return LldStatistics(mean, std).to_dict()


def sum_up(job: SumJob) -> None:
    """Writes count, sum and sum of squares of a video's LLDs at the ticks, (3 * 65,) float64; nothing where it cannot be read."""
    preprocessor = Preprocessor(PreprocessParts(job.spec, normalizer=AsMeasured()), video=False, live=False)
    rows = []
    try:
        with MediaFile(job.media, video=False) as source:
            for unit in source:
                beat()
                rows += preprocessor.push_audio(unit.samples, pts_ns=unit.pts_ns, sample_rate_hz=unit.sample_rate_hz)
        rows += preprocessor.finish()
    except EdgeaffError:  # named by the extraction of the same video, which follows
        return
    lld = np.array([tick.lld for tick in rows if tick.lld is not None], np.float64).reshape(-1, LLD_SIZE)
    part = job.result.with_suffix(f".{os.getpid()}.part.npy")
    np.save(part, np.concatenate([np.full(LLD_SIZE, float(len(lld))), lld.sum(axis=0), np.square(lld).sum(axis=0)]))
    part.replace(job.result)


def _digest(video: Path, spec: PreprocessSpec) -> str:
    named = os.fsencode(video.name) + f" {size_of(video)} {spec.fingerprint}".encode()
    return hashlib.sha256(named).hexdigest()[:24]
