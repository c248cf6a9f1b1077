"""Checks of output paths before any work: a wrong path is reported immediately and never overwrites an input."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgeaff.capture.uri import parse_uri
from edgeaff.delivery.open import split_options
from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.naming import public_name


def check_destination(
    name: str, path: str | os.PathLike[str] | None, *, endings: tuple[str, ...] = (), sources: Sequence[str | None] = ()
) -> None:
    """Checks that a file can be written and is none of those that are read; None passes.

    Args:
        name: of the option, without dashes.
        path: what is to be written.
        endings: one of these; none for any.
        sources: paths and URIs that the command reads; None among them is passed over.

    Raises:
        ArgumentError: the ending is unknown, the folder is not writable, or the path is one of the sources.
    """
    if path is None:
        return
    file = Path(path)
    if endings and file.suffix.lower() not in endings:
        raise ArgumentError(f"--{name} must end in {', '.join(endings)}, got {public_name(path)!r}; rename it.")
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ArgumentError(
            f"--{name} must be a file that can be written, got {public_name(path)!r}; make its folder, or choose another."
        )
    for source in sources:
        read = None if source is None else Path(parse_uri(source).target)
        if read is not None and read.exists() and file.exists() and file.samefile(read):
            raise ArgumentError(
                f"--{name} must be another file than the input, got {public_name(path)!r}; choose another."
            )


def check_packages(name: str, packages: Sequence[str], extra: str) -> None:
    """Checks that packages are installed, without importing them.

    Args:
        name: of the option, without dashes.
        packages: by the name of their import.
        extra: which brings them.

    Raises:
        BackendUnavailableError: one is not.
    """
    absent = [package for package in packages if find_spec(package) is None]
    if absent:
        raise BackendUnavailableError(
            f"--{name} needs {' and '.join(packages)}, got none of {', '.join(absent)}; pip install 'edgeaff[{extra}]'."
        )


def check_distinct(name: str, paths: Sequence[str]) -> None:
    """Checks that no file is named twice, for two writers would cut each other's lines.

    Args:
        name: of the option, without dashes.
        paths: files and URIs.

    Raises:
        ArgumentError: one is.
    """
    files = [os.path.realpath(split_options(path)[0]) for path in paths if "://" not in path]
    for path, file in zip([path for path in paths if "://" not in path], files, strict=True):
        if files.count(file) > 1:
            raise ArgumentError(f"--{name} must name each file once, got {public_name(path)!r} twice; leave one out.")
