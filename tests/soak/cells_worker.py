"""The fault matrix, workers: the process that extracts features is killed in the middle of a video."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

import edgeaff
from edgeaff.training.corpora.record import Track
from edgeaff.training.features.cache import FeatureCache
from edgeaff.training.features.corpus import Job, Outcome, extract_one
from edgeaff.training.features.recipe import ExtractRecipe, LoadedParts
from edgeaff.workers import run_jobs
from tests.soak.rig import Rig
from tests.soak.trial import Cell, Failure

VIDEOS = 3


class _Worker:
    parts: LoadedParts
    cache: FeatureCache


def prepare(recipe: ExtractRecipe, cache: FeatureCache) -> None:
    """Loads what a worker keeps between its videos."""
    _Worker.parts, _Worker.cache = recipe.load(), cache


def work(job: Job) -> Outcome:
    """Extracts one video into the cache."""
    return extract_one(job, _Worker.cache, _Worker.parts)


def killed_extraction(rig: Rig) -> float:
    """Kills the one worker at its first video; returns how long until its successor began the next. All videos must be done."""
    bundle, recipe = edgeaff.ModelBundle.load(), ExtractRecipe()
    clip, folder = rig.clip(), Path(rig.folder / f"features-{time.monotonic_ns()}")
    cache = FeatureCache(
        folder, bundle.spec, encoder_id=recipe.encoder_id(bundle), statistics=bundle.manifest.statistics
    )
    nothing = np.zeros((0, 2), np.float32)
    jobs = [Job(Track(f"v{index}", "train", nothing, clip), None, 0) for index in range(VIDEOS)]
    began: list[float] = []
    killed: list[float] = []

    def kill_soon(job: Job, attempt: int) -> None:
        began.append(time.monotonic())
        if len(began) == 1:
            threading.Timer(0.3, kill).start()

    def kill() -> None:
        (worker,) = [one for one in multiprocessing.active_children() if one.name == "edgeaff-worker"]
        killed.append(time.monotonic())
        os.kill(worker.pid or 0, signal.SIGKILL)

    ready = functools.partial(prepare, recipe, cache)
    ends = list(run_jobs(jobs, work, workers=1, prepare=ready, on_attempt=kill_soon))
    attempts = {end.job.track.name: end.attempts for end in ends}
    if attempts != {"v0": 2, "v1": 1, "v2": 1} or cache.missing(list(attempts)):
        reasons = [end.failure or (end.result.skipped if end.result else None) for end in ends]
        raise Failure(f"every video must have features after {attempts}, got {reasons}")
    return began[1] - killed[0]


CELLS: dict[str, Cell] = {"killed worker/extraction": killed_extraction}
