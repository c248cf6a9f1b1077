"""Trains every system of a study on one corpus with several seeds, run by run; what is finished is not done again.

A study is a TOML file (`configs/table1.toml`): seeds, two recipes, and the runs. Each (run, seed) has a folder with the
run of the trainer, `predictions.npz` (of the tracks it was measured on) and `result.json`; a killed study resumes where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgeaff.errors import ArgumentError
from edgeaff.measures import annotated
from edgeaff.training.features.prepared import FORMS, PreparedCorpus
from edgeaff.training.models.registry import System, find_system
from edgeaff.training.trainer.checkpoint import load_run
from edgeaff.training.trainer.checks import check_features, check_network, check_splits
from edgeaff.training.trainer.complexity import count_macs_per_frame, count_parameters
from edgeaff.training.trainer.config import TrainConfig, read_toml
from edgeaff.training.trainer.metrics import summary
from edgeaff.training.trainer.trainer import Trainer, TrainingData, predict

RESULT, PREDICTIONS = "result.json", "predictions.npz"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One network of a study.

    Attributes:
        name: of the run; a system's name is a row of Table 1, other names are variants.
        form: of the features (`edgeaff.training.features.prepared`).
        config: of the training, its seed apart.
        valid_every: validation takes every n-th track.
        test_every: the test takes every n-th track.
    """

    name: str
    form: str
    config: TrainConfig
    valid_every: int = 1
    test_every: int = 1

    @property
    def system(self) -> System:
        """The system of the registry."""
        return find_system(self.config.system)

    @property
    def is_reduced(self) -> bool:
        """True if its size differs from the published one."""
        with torch.device("meta"):
            trained = self.system.build(width=self.config.width, sizes=self.config.sizes)
            return count_parameters(trained) != count_parameters(self.system.build())


@dataclass(frozen=True, slots=True)
class Study:
    """seeds: of every run; runs: by name, in order."""

    seeds: tuple[int, ...]
    runs: Mapping[str, PlannedRun] = field(default_factory=dict)

    def with_runs(self, names: Sequence[str]) -> Study:
        """Returns the study with these runs alone; all of them for no name.

        Raises:
            ArgumentError: a name is not that of a run.
        """
        unknown = [name for name in names if name not in self.runs]
        if unknown:
            raise ArgumentError(
                f"only must name runs of the study ({', '.join(self.runs)}), got {unknown}; correct it."
            )
        return replace(self, runs={name: run for name, run in self.runs.items() if not names or name in names})


def read_study(path: Path) -> Study:
    """Returns the study in a file.

    Args:
        path: TOML file, or `table1`, which ships.

    Returns:
        The study.

    Raises:
        ArgumentError: the file cannot be read, or a run has no form or a key that no configuration has.
    """
    values = read_toml(path, "study", ("table1",))
    runs = {}
    for name, own in values.get("runs", {}).items():
        form = own.pop("form", None)
        if form not in FORMS:
            raise ArgumentError(f"form of {name} must be one of {', '.join(FORMS)}, got {form!r}; correct {path}.")
        keys = {"system": name, **values.get("pixels" if form == "pixels" else "features", {}), **own}
        every = {key: keys.pop(key, 1) for key in ("valid_every", "test_every")}
        for key, value in every.items():
            if not isinstance(value, int) or value < 1:
                raise ArgumentError(f"{key} of {name} must be an int >= 1, got {value!r}; correct {path}.")
        config = TrainConfig.from_dict(keys)
        runs[name] = PlannedRun(name, form, config, **every)
        if runs[name].system.from_pixels != (form == "pixels"):
            raise ArgumentError(f"form of {name} must be what {config.system} takes, got {form!r}; correct {path}.")
    if not runs or not values.get("seeds"):
        raise ArgumentError(f"study must have seeds and runs, got {sorted(values)} in {path}; see configs/table1.toml.")
    return Study(tuple(values["seeds"]), runs)


def cross_seed(run: PlannedRun, seed: int) -> TrainConfig:
    """Returns the configuration of a run with one seed."""
    return replace(run.config, seed=seed)


def measured_tracks(tracks: Sequence[Any]) -> tuple[str, list[Any]]:
    """Returns the split that systems are measured on, and its annotated tracks.

    Choice: validation where no test track is annotated, as in Aff-Wild2, whose test labels were never given out. The best
    epoch is chosen there too, so such figures flatter every system alike.

    Args:
        tracks: of all splits.

    Returns:
        "test" or "valid", and its tracks.
    """
    for split in ("test", "valid"):
        own = [track for track in tracks if track.split == split and annotated(track.labels).any()]
        if own:
            return split, own
    return "valid", []


def measured_on(results: Sequence[Mapping[str, Any]]) -> str:
    """Returns the split that all results are of.

    Args:
        results: of `run_study`.

    Returns:
        "test" or "valid".

    Raises:
        ArgumentError: some are of another split than others.
    """
    splits = sorted({result.get("measured_on", "test") for result in results}) or ["test"]
    if len(splits) > 1:
        raise ArgumentError(
            f"results must be of one split, got {' and '.join(splits)}; the corpus got or lost its test labels in between: use "
            "a new folder."
        )
    return splits[0]


def train_one(
    run: PlannedRun,
    seed: int,
    tracks: Sequence[Any],
    folder: Path,
    *,
    corpus: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Trains one network and writes what it predicts for the tracks that it is measured on.

    Args:
        run: which network.
        seed: of everything random.
        tracks: of all splits, in the form of the run.
        folder: of this run and seed.
        corpus: what the result shall say of it.
        device: of the training.

    Returns:
        What `result.json` holds: run, seed, scores ("test": of the split in "measured_on") and on validation, sizes, seconds.
    """
    config, system = cross_seed(run, seed), run.system
    parts = {split: [track for track in tracks if track.split == split] for split in ("train", "valid")}
    split, measured = measured_tracks(tracks)
    measured = measured[:: run.test_every]
    check_splits(parts["train"], parts["valid"])
    check_network(system, config)
    if not system.from_pixels:
        check_features(system, [*parts["train"], *parts["valid"], *measured], config.sizes)
    started = time.process_time()
    torch.manual_seed(seed)
    trainer = Trainer(
        system,
        config,
        TrainingData(parts["train"], parts["valid"][:: run.valid_every], {"form": run.form}),
        folder,
        module=_quick(system.build(width=config.width, sizes=config.sizes)),
        device=device,
    )
    best = trainer.run()
    seconds = time.process_time() - started
    module = _quick(load_run(folder)[1])
    predictions = [predict(module, system, track) for track in measured]
    labels = [track.labels for track in measured]
    arrays = {f"values/{track.name}": values for track, values in zip(measured, predictions, strict=True)}
    arrays |= {f"labels/{track.name}": track.labels for track in measured}
    np.savez(folder / PREDICTIONS, **arrays)
    result = {
        "run": run.name,
        "system": system.name,
        "seed": seed,
        "test": summary(predictions, labels),
        "test_tracks": len(labels),
        "measured_on": split,
        "best_ccc_mean_on_validation": best,
        "trained_parameters": count_parameters(module),
        "epochs": trainer.epoch,
        "train_cpu_seconds": round(seconds, 1),
        "config": asdict(config),
        "corpus": dict(corpus or {}),
    }
    _write_json(folder / RESULT, result)
    return result


def kept(folder: Path, name: str, make: Callable[[], Any]) -> Any:
    """Returns all that is measured once of a finished run and kept in its folder; an older one, of a run recomputed, is not taken.

    Args:
        folder: of the run.
        name: of the file.
        make: called where the file is missing or older than the run's result.

    Returns:
        As read from JSON.
    """
    path = folder / name
    if not path.is_file() or path.stat().st_mtime_ns < (folder / RESULT).stat().st_mtime_ns:
        _write_json(path, make())
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _quick(module: nn.Module) -> nn.Module:
    """Returns the network with its 2-D convolutions in the layout that a CPU likes (measured: half the time at small widths)."""
    if any(isinstance(layer, nn.Conv3d) for layer in module.modules()):
        return module
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def run_study(
    study: Study,
    corpus: PreparedCorpus,
    folder: Path,
    *,
    train: bool = True,
    device: str = "cpu",
    on_result: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Trains what is missing, seed by seed, so that a study cut short has whole columns first.

    Args:
        study: what to train.
        corpus: on what.
        folder: holds a folder per run and seed.
        train: False = take what is finished.
        device: of the trainings.
        on_result: called after every training.

    Returns:
        The results of all runs and seeds, in order.

    Raises:
        ArgumentError: a result is of another configuration or corpus.
    """
    forms: dict[str, Any] = {}
    results = []
    about = corpus.description()
    for seed in study.seeds:
        for run in study.runs.values():
            own = folder / f"{run.name}-{seed}"
            if (own / RESULT).is_file():
                results.append(_read_result(own, cross_seed(run, seed), about))
                continue
            if not train:
                continue
            if run.form not in forms:
                forms[run.form] = corpus.form(run.form)
            results.append(train_one(run, seed, forms[run.form], own, corpus=about, device=device))
            if on_result is not None:
                on_result(results[-1])
    return results


def _read_result(folder: Path, config: TrainConfig, corpus: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a finished result.

    Raises:
        ArgumentError: it is of another configuration or corpus.
    """
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    if result["config"] != asdict(config):
        raise ArgumentError(
            f"result in {folder} must be of the study's configuration, got another one; remove the folder or use a new one."
        )
    if result.get("corpus") and result["corpus"] != corpus:  # results from before this was written say nothing of it
        raise ArgumentError(
            f"result in {folder} must be of the corpus {dict(corpus)}, got {result['corpus']}; use another --output."
        )
    return result


def read_predictions(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns predictions and labels of the tracks that a finished run was measured on, (T, 2) each, in order of track."""
    with np.load(folder / PREDICTIONS, allow_pickle=False) as archive:
        names = sorted(name.removeprefix("values/") for name in archive.files if name.startswith("values/"))
        return [archive[f"values/{name}"] for name in names], [archive[f"labels/{name}"] for name in names]


def full_size(system: System) -> tuple[int, int]:
    """Returns parameters and MACs per frame of a system at its published size."""
    with torch.device("meta"):
        module: nn.Module = system.build()
    return count_parameters(module), count_macs_per_frame(system)
