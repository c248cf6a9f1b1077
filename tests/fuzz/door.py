"""What a door is, and the list of all."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

Feed = Callable[[bytes], Any]


@dataclass(frozen=True)
class Door:
    """A way in.

    Attributes:
        name: of the door.
        open: makes, in its own folder, the seeds and the function that takes an input.
        make: makes an input from the seeds.
        share: of the time, against the other doors.
        refusals: exceptions that are answers of this door, beside EdgeaffError.
        needs: modules without which the door is left out.
    """

    name: str
    open: Callable[[Path], tuple[Sequence[bytes], Feed]]
    make: Callable[[random.Random, Sequence[bytes]], bytes]
    share: float = 1.0
    refusals: tuple[type[BaseException], ...] = ()
    needs: tuple[str, ...] = ()


PLACES = ("bundles", "compiled", "media", "recordings", "texts", "weights")


def all_doors() -> list[Door]:
    """Returns every door."""
    return [door for place in PLACES for door in import_module(f"tests.fuzz.{place}").DOORS]
