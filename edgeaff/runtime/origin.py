"""`Origin`: the part of a runtime in which an error was raised."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """The origin of an error.

    Attributes:
        source: "worker", "reader" (callbacks) or "sink".
        name: of the callback or sink, for messages.
    """

    source: str
    name: str


WORKER = Origin("worker", "worker")
