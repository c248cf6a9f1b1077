"""Trains a system of the paper on extracted features, or runs one optimization step without data (--smoke).

To split each batch between processes: torchrun --nproc-per-node N -m edgeaff train CONFIG ...
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeaff.cli.process import print_message
from edgeaff.errors import ArgumentError, BackendUnavailableError, DeviceError, EdgeaffError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("config", nargs="?", type=Path, help="TOML file, or the name of a shipped one: paper, fast")
    parser.add_argument("--features", type=Path, help="folder of extracted features (edgeaff extract)")
    parser.add_argument("--output", type=Path, help="folder of the run; an existing run resumes")
    parser.add_argument("--system", help="system to train instead of the configuration's")
    parser.add_argument("--seed", type=int, help="seed instead of the configuration's")
    parser.add_argument("--device", default="cpu", help="cpu (default), or cuda")
    parser.add_argument("--bundle", type=Path, help="bundle of the features; default: the shipped one")
    parser.add_argument(
        "--no-bundle",
        action="store_true",
        help="train a run for comparison, even if it cannot become a bundle",
    )
    parser.add_argument("--quiet", action="store_true", help="print no line per epoch")
    parser.add_argument(
        "--smoke",
        metavar="SYSTEM",
        help="one optimization step at full size on a synthetic sequence; the last line of stdout is one JSON object",
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        options: parsed arguments.

    Returns:
        The exit code.

    Raises:
        BackendUnavailableError: torch is missing.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise BackendUnavailableError(f"training needs torch, got: {error}; pip install 'edgeaff[train]'.") from error
    return _smoke(options.smoke) if options.smoke else _train(options)


def _smoke(system: str) -> int:
    from edgeaff.training.trainer.smoke import smoke

    result = dataclasses.asdict(smoke(system))
    if not result["loss_after"] < result["loss_before"]:
        raise ArgumentError(
            f"One step of {system} did not lower its loss: {result}. The installation of torch is broken."
        )
    print(json.dumps(result))
    return 0


def _train(options: argparse.Namespace) -> int:
    from edgeaff.training.features.cache import FeatureCache
    from edgeaff.training.models import SYSTEMS, find_system
    from edgeaff.training.trainer.checks import check_features, check_network, check_splits
    from edgeaff.training.trainer.config import TrainConfig, read_config
    from edgeaff.training.trainer.trainer import Trainer, TrainingData

    for name in ("config", "features", "output"):
        if getattr(options, name) is None:
            raise ArgumentError(f"{name} must be given without --smoke, got none; see edgeaff train --help.")
    config = read_config(options.config)
    instead = {name: getattr(options, name) for name in ("system", "seed") if getattr(options, name) is not None}
    config = TrainConfig.from_dict(dataclasses.asdict(config) | instead)
    system = find_system(config.system)
    if system.from_pixels:
        others = ", ".join(name for name, other in SYSTEMS.items() if not other.from_pixels)
        raise ArgumentError(
            f"system must learn from features ({others}), got {system.name}, which learns from frames; choose another."
        )
    cache = FeatureCache.open(options.features)
    train, valid = cache.read_all("train"), cache.read_all("valid")
    check_splits(train, valid)
    config = config.fitted(train[0])
    check_network(system, config)
    check_features(system, [*train, *valid], config.sizes)
    _check_exportable(system, config, cache, bundle=options.bundle, needed=not options.no_bundle, quiet=options.quiet)
    with _together(options.device) as (rank, device):
        show = None if options.quiet or rank else _show
        trainer = Trainer(system, config, TrainingData(train, valid, cache.made_with), options.output, device=device)
        best = trainer.run(on_epoch=show)
    if rank == 0:
        result = {"system": system.name, "best_ccc_mean": best, "best_epoch": trainer.best_epoch}
        print(json.dumps({**result, "epochs": trainer.epoch, "run": str(options.output)}))
    return 0


def _check_exportable(system: Any, config: Any, cache: Any, *, bundle: Path | None, needed: bool, quiet: bool) -> None:
    """Refuses, before the first step, what `edgeaff export` would refuse at the end.

    Args:
        system: of the registry; those that are there to be compared become no bundle, and are trained.
        config: of the run.
        cache: of the features.
        bundle: that the features were extracted with; None = the shipped one.
        needed: False also trains a run that cannot become a bundle.
        quiet: print nothing.

    Raises:
        ArgumentError: no bundle can be made of the run.
    """
    from edgeaff.bundle import ModelBundle
    from edgeaff.export.exportable import SYSTEMS, check_exportable

    if system.name not in SYSTEMS or not needed:
        if not quiet:
            text = "is for comparison: no bundle can be made of it without the checks of `edgeaff export`"
            print_message(f"this run of {system.name} {text}")
        return
    base = ModelBundle.load(bundle)
    own = cache.folder / "statistics.json"
    statistics = json.loads(own.read_text(encoding="utf-8")) if own.is_file() else base.manifest.statistics
    module = system.build(width=config.width, sizes=config.sizes)
    try:
        check_exportable(system.name, module, cache.made_with, base=base, statistics=statistics)
    except EdgeaffError as error:
        raise ArgumentError(
            f"{str(error).rstrip('.')}; or pass --no-bundle to train it for comparison alone."
        ) from error


def _show(row: dict[str, float]) -> None:
    print_message(
        f"epoch {int(row['epoch'])}: loss {row['loss']:.4f}, validation CCC valence {row['ccc_valence']:.3f}, "
        f"arousal {row['ccc_arousal']:.3f}"
    )


def check_device(device: str) -> str:
    """Checks that torch has a device.

    Args:
        device: cpu, cuda or cuda:N.

    Returns:
        Its kind, cpu or cuda.

    Raises:
        DeviceError: it does not.
    """
    import torch

    kind, _, number = device.partition(":")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count()}
    if kind not in counts or (number and not number.isdecimal()) or int(number or 0) >= counts[kind]:
        raise DeviceError(f"device must be one that torch has here, got {device!r}; leave --device out for the CPU.")
    return kind


@contextmanager
def _together(device: str) -> Iterator[tuple[int, str]]:
    """Joins the processes that torchrun started; alone without it.

    Args:
        device: cpu or cuda.

    Yields:
        The rank of this process, and its device.

    """
    import torch
    from torch import distributed

    kind = check_device(device)
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield 0, device
        return
    distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        rank = distributed.get_rank()
        yield rank, f"cuda:{rank % torch.cuda.device_count()}" if kind == "cuda" else device
    finally:
        distributed.destroy_process_group()
