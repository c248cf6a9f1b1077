"""Task: one media file to annotate, with an identity that depends on its path alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Task:
    """One file.

    Attributes:
        file: the path as given; the column `file` of the output. `ARCHIVE.tar::MEMBER` is a file in a tar.
        size: bytes; 0 where unknown.
    """

    file: str
    size: int = 0

    @property
    def id(self) -> str:
        """16 hex digits of the SHA-256 of the path."""
        return hashlib.sha256(self.file.encode("utf-8", "surrogateescape")).hexdigest()[:ID_DIGITS]

    def in_shard(self, index: int, count: int) -> bool:
        """Returns whether this task belongs to shard `index` of `count`."""
        return int(self.id, 16) % count == index
