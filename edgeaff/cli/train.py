"""Trains a system of the paper, or proves in one step and without data that it can learn (--smoke)."""

from __future__ import annotations

import argparse
import dataclasses
import json

from edgeaff.errors import ArgumentError, BackendUnavailableError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument(
        "--smoke",
        metavar="SYSTEM",
        required=True,
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
        ArgumentError: the step did not lower the loss.
    """
    try:
        from edgeaff.training.smoke import smoke
    except ImportError as error:
        raise BackendUnavailableError(f"training needs torch, got: {error}; pip install 'edgeaff[train]'.") from error
    result = dataclasses.asdict(smoke(options.smoke))
    if not result["loss_after"] < result["loss_before"]:
        raise ArgumentError(f"{options.smoke} must learn, got {result}; the installation of torch is broken.")
    print(json.dumps(result))
    return 0
