"""A text file that grows for days: whole records, continued after a restart, reopened when it is rotated, bounded on request."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from edgeaff.errors import ArgumentError
from edgeaff.naming import public_name
from edgeaff.output_file import PRIVATE, open_output

_TAIL_BYTES = 1 << 20  # no record is longer


def _never(record: bytes) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class RecordForm:
    """How a kind of file is written.

    Attributes:
        head: what every file begins with.
        begins: how a file of this kind begins; default the head.
        ends: what every record ends with.
        is_whole: whether a last record lacks nothing but its end.
    """

    head: bytes = b""
    begins: bytes = b""
    ends: bytes = b"\n"
    is_whole: Callable[[bytes], bool] = _never


class LineFile:
    """A file that takes whole records or nothing: where the disk fills up in the middle of one, its beginning is taken back.

    Nothing is buffered, so a record that failed may be written again without a trace of the first attempt. Another process may
    rotate the file at any time, by renaming it or by copying and truncating it: the next record begins or continues the file
    of that name.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        append: bool = True,
        mode: int = PRIVATE,
        max_bytes: int | None = None,
        keep: int = 1,
        form: RecordForm | None = None,
    ) -> None:
        """Opens the file, cuts off a record that was not finished, and writes the head where the file is empty.

        Args:
            path: what to write; the folder must exist.
            append: keep what is there.
            mode: rights of a file that is made here.
            max_bytes: when a record would make the file longer, it is renamed to PATH.1 and a new one begun; None never.
            keep: how many of PATH.1, PATH.2, ... stay.
            form: head and records of such a file; None = lines without a head.

        Raises:
            ArgumentError: the file has another head, or a limit is not positive.
        """
        if max_bytes is not None and max_bytes < 1 or keep < 1:
            raise ArgumentError(f"max_bytes and keep must be positive, got {max_bytes} and {keep}; leave them out.")
        self._path, self._mode, self._max_bytes, self._keep = os.fspath(path), mode, max_bytes, keep
        form = form or RecordForm()
        self._head, self._begins, self._ends = form.head, form.begins or form.head, form.ends
        self._is_whole = form.is_whole
        self._file = self._open(append=append)

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._file.closed

    def write(self, text: str) -> None:
        """Writes one record.

        Args:
            text: all of it, with its end.

        Raises:
            OSError: the disk refuses; nothing of the record is in the file.
            ArgumentError: the file was replaced by one of another kind.
        """
        data = text.encode("utf-8", "backslashreplace")
        size = self._follow()
        if size is not None and self._max_bytes and len(self._head) < size and size + len(data) > self._max_bytes:
            self._rotate()
        self._put(data if size != 0 else self._head + data)

    def tail(self) -> bytes:
        """Returns the last bytes of the file, at most 1 MiB; none of what is no regular file or cannot be read."""
        size = _size(self._file)
        if not size:
            return b""
        try:
            with open(self._path, "rb") as file:
                file.seek(max(0, size - _TAIL_BYTES))
                return file.read(_TAIL_BYTES)
        except OSError:  # we may write, but not read
            return b""

    def close(self) -> None:
        """Closes the file; may be called again."""
        self._file.close()

    def _open(self, *, append: bool = True) -> io.FileIO:
        self._file = open_output(self._path, mode=self._mode, append=append)
        try:
            if _size(self._file):
                self._repair()
            if self._head and not _size(self._file):  # of an empty file, and of a pipe
                self._put(self._head)
        except (OSError, ArgumentError):
            self._file.close()
            raise
        return self._file

    def _repair(self) -> None:
        """Cuts off a record that was not finished.

        Raises:
            ArgumentError: the file has another head.
        """
        tail, size = self.tail(), _size(self._file) or 0
        if not tail:
            return
        with open(self._path, "rb") as file:
            start = file.read(len(self._begins))
        ours = start == self._begins
        if not ours and self._begins.startswith(start):  # the head itself was cut
            self._file.truncate(0)
            return
        if not ours and self._head:
            raise ArgumentError(
                f"{public_name(self._path)} must begin as this version writes it, got another beginning; move it away, or "
                "choose another file."
            )
        if tail.endswith(self._ends):
            return
        end = tail.rfind(self._ends)
        start_of_last = end + len(self._ends) if end >= 0 else 0
        if ours and (end >= 0 or size <= _TAIL_BYTES) and not self._is_whole(tail[start_of_last:]):
            self._file.truncate(size - len(tail) + start_of_last)
        else:
            self._put(self._ends)

    def _follow(self) -> int | None:
        """Returns the time for which the file is, after reopening it where its name means another file by now; None for a pipe.

        Raises:
            OSError: it cannot be reopened, or is no regular file any more.
        """
        size = _size(self._file)
        if size is None:
            return None
        mine = os.fstat(self._file.fileno())
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            named = None
        if named is not None and not stat.S_ISREG(named.st_mode):
            raise OSError(errno.EINVAL, "the file was replaced by something else", self._path)
        if named is None or (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino):
            self._reopen()
            return _size(self._file)
        return size

    def _reopen(self) -> None:
        old = self._file
        try:
            self._open()
        except (OSError, ArgumentError):
            self._file = old
            raise
        old.close()

    def _rotate(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        os.replace(self._path, f"{self._path}.1")
        self._reopen()

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError:
            self._take_back(len(data) - len(rest))
            raise

    def _take_back(self, written: int) -> None:
        size = _size(self._file)
        if written and size is not None:
            with contextlib.suppress(OSError):
                self._file.truncate(max(0, size - written))


def begins_with(path: str | os.PathLike[str], head: bytes) -> bool:
    """Returns whether a regular file is there that begins so.

    Args:
        path: the file.
        head: its first bytes.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return file.read(len(head)) == head
    except OSError:
        return False


def _size(file: io.FileIO) -> int | None:
    """Returns the length of a regular file, None for a pipe or device."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None
