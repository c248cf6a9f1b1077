"""Trains a system of the paper on extracted features, or proves in one step without data that it can learn (--smoke)."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from edgeaff.errors import ArgumentError, BackendUnavailableError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("config", nargs="?", type=Path, help="TOML file, or the name of one that ships: paper, fast")
    parser.add_argument("--features", type=Path, help="folder of extracted features")
    parser.add_argument("--output", type=Path, help="folder of the run; a run that is there already goes on")
    parser.add_argument(
        "--smoke",
        metavar="SYSTEM",
        help="one optimisation step at full size on a made-up sequence; the last line of stdout is one JSON object",
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
    from edgeaff.training.smoke import smoke

    result = dataclasses.asdict(smoke(system))
    if not result["loss_after"] < result["loss_before"]:
        raise ArgumentError(f"{system} must learn, got {result}; the installation of torch is broken.")
    print(json.dumps(result))
    return 0


def _train(options: argparse.Namespace) -> int:
    from edgeaff.training.checks import check_features, check_splits
    from edgeaff.training.config import read_config
    from edgeaff.training.feature_cache import FeatureCache
    from edgeaff.training.models import find_system
    from edgeaff.training.train import Trainer

    for name in ("config", "features", "output"):
        if getattr(options, name) is None:
            raise ArgumentError(f"{name} must be given without --smoke, got none; see edgeaff train --help.")
    config = read_config(options.config)
    system = find_system(config.system)
    cache = FeatureCache.open(options.features)
    train, valid = cache.read_all("train"), cache.read_all("valid")
    check_splits(train, valid)
    check_features(system, [*train, *valid], config.sizes)
    best = Trainer(system, config, train, valid, options.output).run()
    print(json.dumps({"system": system.name, "best_ccc_mean": best, "run": str(options.output)}))
    return 0
