"""The options that select a bundle and its required signature and version: --bundle, --key, --minimum-version."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_bundle_arguments(parser: argparse.ArgumentParser, *, meaning: str = "default: the one that ships") -> None:
    """Adds the options.

    Args:
        parser: of a command that loads a bundle.
        meaning: what holds without --bundle.
    """
    parser.add_argument("--bundle", metavar="B", help=f"model bundle (.eaff); {meaning}")
    parser.add_argument(
        "--key", metavar="PEM", type=Path, help="public ed25519 key that must have signed the bundle (B.sig beside it)"
    )
    parser.add_argument(
        "--minimum-version", metavar="N", type=int, help="lowest accepted version in the bundle's manifest"
    )
