"""Opening and closing: the base class of what a `with` block closes, and the error of a file that cannot be written."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from edgeaff.errors import ArgumentError

if TYPE_CHECKING:
    from typing import Self


class Closing(ABC):
    """A context manager that is itself what `with` gives, and whose end is `close()`."""

    def __enter__(self) -> Self:
        """Returns the object itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Gives back what it holds; may be called again."""


@contextlib.contextmanager
def opening(path: str | os.PathLike[str]) -> Iterator[None]:
    """Says of a file that cannot be opened for writing what to do.

    Args:
        path: of the file that is opened inside.

    Yields:
        Once.

    Raises:
        ArgumentError: it cannot be.
    """
    try:
        yield
    except OSError as error:
        raise ArgumentError(
            f"path must be a file that can be written, got {os.fspath(path)!r} ({error.strerror}); "
            "make its folder, or choose another."
        ) from error
