"""Features of a whole corpus: several processes, each track written when done, broken ones reported.

```
tracks not in the cache, longest video first --> N processes, each with its own Preprocessor parts --> cache
                                                          |-> what was skipped, and why
```
A process that is killed is replaced; its track is tried once more, after all others, and then skipped and named. The cache
holds whole tracks only. Workers end with the process that started them, however that ends.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgeaff.errors import ArgumentError, EdgeaffError, MediaError
from edgeaff.machine import lock_file
from edgeaff.parsing.boundary import reason_of
from edgeaff.training.corpora.affwild2 import side_of
from edgeaff.training.corpora.record import Track, size_of
from edgeaff.training.features.cache import FeatureCache, Features
from edgeaff.training.features.recipe import ExtractRecipe, LoadedParts
from edgeaff.training.features.track import extract_track
from edgeaff.workers import Limits, run_jobs

LOCK = ".lock"
SILENCE_SECONDS = 600.0  # without a tick: the file holds its decoder up


@dataclass(slots=True)
class ExtractReport:
    """Report of an extraction.

    Attributes:
        extracted: tracks made now.
        already: tracks that the cache held before.
        skipped: track -> why it has no features.
        warnings: track -> what is wrong with its video, though it has features.
    """

    extracted: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one track: name; why it was skipped, or None; warnings."""

    name: str
    skipped: str | None
    warnings: tuple[str, ...]


def extract_corpus(
    tracks: Sequence[Track],
    cache: FeatureCache,
    recipe: ExtractRecipe,
    *,
    workers: int = 0,
    limits: Limits | None = None,
    advance: Callable[[Outcome, int], None] | None = None,
) -> ExtractReport:
    """Fills the cache with the features of the tracks that it lacks.

    Args:
        tracks: of the corpus; those without a video are skipped and named.
        cache: made for the recipe.
        recipe: how the parts of the preprocessing are made in each process.
        workers: processes; 0 does all in this one, which a file that crashes its decoder would end.
        limits: of a worker; None ends one that is silent for ten minutes.
        advance: called for each track that is done, with its outcome and the bytes of its video.

    Returns:
        What was done.

    Raises:
        ArgumentError: workers is negative, or another process extracts into the cache.
    """
    limits = limits or Limits(silence_seconds=SILENCE_SECONDS)
    names = [track.name for track in tracks]
    report = ExtractReport()
    with _locked(cache.folder):
        _remove_halves(cache)
        wanted = set(cache.missing(names))
        report.already = [name for name in names if name not in wanted]
        jobs = []
        for track in tracks:
            if track.name not in wanted:
                continue
            if track.media is None:
                report.skipped[track.name] = "there is no video of this name in the corpus"
            else:
                jobs.append(Job(track, side_of(track.name, names), size_of(track.media)))
        jobs.sort(key=lambda job: -job.size)
        for end in run_jobs(
            jobs, _work, workers=workers, prepare=functools.partial(_prepare, recipe, cache), limits=limits
        ):
            outcome = end.result or Outcome(end.job.track.name, end.failure, ())
            if outcome.skipped is None:
                report.extracted.append(outcome.name)
            else:
                report.skipped[outcome.name] = outcome.skipped
            if outcome.warnings:
                report.warnings[outcome.name] = list(outcome.warnings)
            if advance is not None:
                advance(outcome, end.job.size)
        _remove_halves(cache)
    return report


def _remove_halves(cache: FeatureCache) -> None:
    """Removes what processes that were killed had begun to write."""
    for part in cache.folder.glob(".*.npz"):
        part.unlink()


@dataclass(frozen=True, slots=True)
class Job:
    """One track to extract; side: which of two people; size: of the video in bytes."""

    track: Track
    side: str | None
    size: int


def extract_one(job: Job, cache: FeatureCache, parts: LoadedParts) -> Outcome:
    """Extracts one track into the cache; what cannot be read is named in the outcome.

    Args:
        job: the track.
        cache: to write to.
        parts: of the preprocessing.

    Returns:
        The outcome.
    """
    warnings: list[str] = []
    try:
        cache.write(_features_of(job, parts, warnings.append))
    except EdgeaffError as error:
        return Outcome(job.track.name, " ".join(str(error).split()), tuple(warnings))
    return Outcome(job.track.name, None, tuple(warnings))


def _features_of(job: Job, parts: LoadedParts, warn: Callable[[str], None]) -> Features:
    """Returns the features of one track.

    Args:
        job: the track.
        parts: of the preprocessing.
        warn: called with what is wrong with its video.

    Raises:
        EdgeaffError: the video cannot be used.
        MediaError: anything else went wrong; one broken video must not end the extraction of a corpus.
    """
    try:
        return extract_track(job.track, parts.parts, descriptor_size=parts.descriptor_size, side=job.side, warn=warn)
    except EdgeaffError:
        raise
    except Exception as error:
        raise MediaError(
            f"features must be made of its video, got {reason_of(error)}; convert the video, and report this."
        ) from error


class _Worker:
    """State of a process between its tracks."""

    parts: LoadedParts
    cache: FeatureCache


def _prepare(recipe: ExtractRecipe, cache: FeatureCache) -> None:
    _Worker.parts, _Worker.cache = recipe.load(), cache


def _work(job: Job) -> Outcome:
    return extract_one(job, _Worker.cache, _Worker.parts)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the cache for this process.

    Raises:
        ArgumentError: another one holds it.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock_file(folder / LOCK))
        except BlockingIOError as error:
            raise ArgumentError(
                f"cache must be written by one command at a time, got {folder} in use; wait for the other."
            ) from error
        yield
