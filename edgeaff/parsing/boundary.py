"""The boundary around a parser, the bounded read of a file, and text that is safe on a terminal."""

from __future__ import annotations

import contextlib
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeaff.errors import ArgumentError, EdgeaffError

_SHOWN = 200  # characters of a foreign message or value


class Refused(ValueError):
    """Content that breaks a limit or a rule of its format. It never leaves a `boundary`."""


@contextlib.contextmanager
def boundary(kind: type[EdgeaffError], what: str, advice: str) -> Iterator[None]:
    """Turns every exception raised inside into one error of the tree; errors of the tree pass, except for ArgumentError.

    An ArgumentError inside is about the content of the file, not about an argument of the caller, so it becomes `kind` too.

    Args:
        kind: the error to raise.
        what: what must hold, for the message: "{what}, got {reason}; {advice}".
        advice: what to do.

    Yields:
        Nothing.

    Raises:
        ArgumentError: `kind` is ArgumentError.
        EdgeaffError: `kind`, or what was raised inside.
    """
    try:
        yield
    except ArgumentError as error:
        if kind is ArgumentError:
            raise
        raise kind(f"{what}: {error}") from error
    except EdgeaffError:
        raise
    except OSError as error:  # it quotes the path, in whose place a URI with a password may have been given
        raise kind(f"{what}, got {reason_of(error)}; {advice}") from None
    except Exception as error:
        raise kind(f"{what}, got {reason_of(error)}; {advice}") from error


def reason_of(error: BaseException) -> str:
    """Returns the first line of an exception's message, or the name of its class, short and printable."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return printable(text if isinstance(error, Refused) else f"{text} ({type(error).__name__})", most=_SHOWN)


def shown(value: Any) -> str:
    """Returns a value from a file for a message: short, on one line, without control characters."""
    text = ascii(value) if isinstance(value, str) else repr(value) if isinstance(value, (int, float)) else None
    if text is None:
        text = f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__
    return printable(text, most=_SHOWN)


def printable(text: str, *, most: int | None = None) -> str:
    r"""Returns text without what changes a terminal: control characters, direction marks and lone surrogates become \x1b and so on.

    Args:
        text: from a file, a name or a message.
        most: characters kept; the rest becomes "...".
    """
    if most is not None and len(text) > most:
        text = text[:most] + "..."
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        ascii(character)[1:-1] if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else character
        for character in text
    )


def read_bounded(path: str | os.PathLike[str], *, most_bytes: int) -> bytes:
    """Returns the bytes of a regular file in one read.

    Args:
        path: the file.
        most_bytes: longest file that is read.

    Raises:
        Refused: it is no regular file, or a longer one.
    """
    with open(Path(path), "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Refused("no regular file")
        if status.st_size > most_bytes:
            raise Refused(f"{status.st_size} bytes, more than {most_bytes}")
        data = file.read(status.st_size + 1)  # reading allocates what is requested, not what is there
    if len(data) > status.st_size:
        raise Refused("a file that grows while it is read")
    return data


def _open_at_once(path: str, flags: int) -> int:
    """Returns a descriptor without waiting for the other end of a FIFO."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
