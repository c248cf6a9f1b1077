"""Output files: private rights, and one error text if they cannot be opened."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from edgeaff.errors import ArgumentError, DeviceError, EdgeaffError
from edgeaff.naming import public_name

PRIVATE = 0o600  # affect, faces and voices of a person: for the user that runs us
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)


@contextlib.contextmanager
def opening(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns the errors of opening a file for writing into ours.

    Args:
        path: of the file that is opened inside.

    Yields:
        Once.

    Raises:
        ArgumentError: the path cannot be written.
        DeviceError: the disk is full, or the machine is out of file handles.
        EdgeaffError: raised inside, unchanged.
    """
    try:
        yield
    except EdgeaffError:
        raise
    except OSError as error:
        if error.errno in _OF_THE_MACHINE:
            raise DeviceError(
                f"{public_name(path)} must be a file that can be written, got: {error.strerror}; free space or handles."
            ) from None  # its text quotes the path, which may be a mistyped URI
        raise ArgumentError(
            f"path must be a file that can be written, got {public_name(path)!r} ({error.strerror}); "
            "make its folder, or choose another."
        ) from None
    except ValueError as error:  # a NUL in the path
        raise ArgumentError(f"path must be the name of a file, got {public_name(path)!r}; choose another.") from error


def open_output(path: str | os.PathLike[str], *, mode: int = PRIVATE, append: bool = True) -> io.FileIO:
    """Returns a file opened for writing, without a buffer; every write goes to its end, where that is by then.

    Args:
        path: what to write; the folder must exist.
        mode: rights of a file that is made here; the umask takes from the default only. A file that is there keeps its own.
        append: keep what is there.
    """
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        handle = os.open(path, flags | os.O_CREAT | (0 if append else os.O_TRUNC), mode)
    else:
        if mode != PRIVATE and hasattr(os, "fchmod"):
            os.fchmod(handle, mode)
    return io.FileIO(handle, "ab")


def free_name(path: str | os.PathLike[str]) -> Path:
    """Returns the first of NAME.1.SUFFIX, NAME.2.SUFFIX, ... that is not there.

    Args:
        path: NAME.SUFFIX.
    """
    file = Path(path)
    names = (file.with_name(f"{file.stem}.{number}{file.suffix}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())
