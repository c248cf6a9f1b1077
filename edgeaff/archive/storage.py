"""Where an annotation is written: a local folder, or an object store through fsspec. Every write is whole or absent."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from edgeaff.errors import ArgumentError, BackendUnavailableError, DeviceError
from edgeaff.naming import public_name

EXTRAS = {"s3": "s3", "s3a": "s3", "hf": "hub"}  # scheme -> extra; any other needs fsspec alone
TEMPORARY = "tmp"


def scheme_of(path: str) -> str | None:
    """Returns the scheme of a URI, in lower case; None for a path."""
    head, separator, _ = path.partition("://")
    return head.lower() if separator else None


def remote_filesystem(uri: str) -> tuple[Any, str]:
    """Returns the fsspec filesystem of a URI, and the path in it.

    Raises:
        BackendUnavailableError: fsspec or the package of the scheme is not installed.
        ArgumentError: the scheme is unknown.
    """
    extra = EXTRAS.get(scheme_of(uri) or "", "archive")
    try:
        import fsspec

        return fsspec.core.url_to_fs(uri)  # type: ignore[no-any-return]
    except ImportError as error:
        raise BackendUnavailableError(
            f"{public_name(uri)} needs another package, got: {error}; pip install 'edgeaff[archive,{extra}]'."
        ) from error
    except ValueError as error:
        raise ArgumentError(
            f"path must have a known scheme, got {public_name(uri)!r} ({error}); use s3:// or hf://."
        ) from None


class Store(Protocol):
    """A folder of objects by name, with `/` between its parts."""

    root: str

    def read(self, name: str) -> bytes | None:
        """Returns an object, None where there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Replaces an object as a whole."""

    def names(self, folder: str) -> Iterator[str]:
        """Yields the names below a folder, recursively."""

    def temporary(self) -> Path:
        """Returns the path of a new local file to fill for `commit`."""

    def commit(self, path: Path, name: str) -> None:
        """Moves a finished local file to its name."""

    def clean(self) -> None:
        """Removes temporary files of processes that ended."""


class LocalStore:
    """A folder on this machine, or on a file system that several machines share."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Makes the folder.

        Args:
            root: the folder.

        Raises:
            ArgumentError: it cannot be made or written.
        """
        self.root = os.fspath(root)
        self._folder = Path(root)
        try:
            (self._folder / TEMPORARY).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArgumentError(
                f"output must be a folder that can be written, got {self.root!r} ({error.strerror}); choose another."
            ) from error

    def read(self, name: str) -> bytes | None:
        """Returns an object, None where there is none."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Replaces an object as a whole.

        Raises:
            DeviceError: the disk is full, or the folder is gone.
        """
        part = self.temporary()
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self.commit(part, name)
        except OSError as error:
            raise DeviceError(
                f"{self.root}: cannot write {name}: {error.strerror}; free space, then run it again."
            ) from error

    def names(self, folder: str) -> Iterator[str]:
        """Yields the names below a folder, recursively."""
        for parent, _, files in os.walk(self._folder / folder):
            for file in files:
                yield (Path(parent) / file).relative_to(self._folder).as_posix()

    def temporary(self) -> Path:
        """Returns the path of a new file on the same file system."""
        return self._folder / TEMPORARY / uuid.uuid4().hex

    def commit(self, path: Path, name: str) -> None:
        """Moves a finished file to its name."""
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)

    def clean(self) -> None:
        """Removes temporary files."""
        for path in (self._folder / TEMPORARY).iterdir():
            path.unlink(missing_ok=True)


class RemoteStore:
    """An object store, where a put is atomic. One driver at a time: it has no lock."""

    def __init__(self, root: str) -> None:
        """Connects.

        Args:
            root: URI of the folder.
        """
        self.root = root.rstrip("/")
        self._system, self._path = remote_filesystem(self.root)

    def read(self, name: str) -> bytes | None:
        """Returns an object, None where there is none."""
        try:
            return self._system.cat_file(f"{self._path}/{name}")  # type: ignore[no-any-return]
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Replaces an object as a whole."""
        self._system.pipe_file(f"{self._path}/{name}", data)

    def names(self, folder: str) -> Iterator[str]:
        """Yields the names below a folder, recursively."""
        self._system.invalidate_cache()
        for path in self._system.find(f"{self._path}/{folder}"):
            yield path[len(self._path) + 1 :]

    def temporary(self) -> Path:
        """Returns the path of a new file in the machine's folder for such."""
        import tempfile

        handle, path = tempfile.mkstemp(prefix="edgeaff-")
        os.close(handle)
        return Path(path)

    def commit(self, path: Path, name: str) -> None:
        """Uploads a finished file to its name and removes it here."""
        self._system.put_file(os.fspath(path), f"{self._path}/{name}")
        path.unlink()

    def clean(self) -> None:
        """Removes nothing: unfinished uploads are not objects."""


def open_store(root: str | os.PathLike[str]) -> LocalStore | RemoteStore:
    """Returns the store of a folder or URI."""
    text = os.fspath(root)
    return RemoteStore(text) if scheme_of(text) not in (None, "file") else LocalStore(text.removeprefix("file://"))


def fetch(uri: str, folder: Path) -> Path:
    """Returns a local copy of a remote file, in `folder`.

    Args:
        uri: of the file.
        folder: local; removed by the caller.
    """
    system, path = remote_filesystem(uri)
    target = folder / Path(path).name
    with system.open(path, "rb") as source, open(target, "wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
    return target
