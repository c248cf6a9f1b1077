"""A whole recording through an LLD stream, for the tests of both of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def extract_with(
    make: Callable[..., Any], samples: np.ndarray, sizes: Sequence[int] | None, *, compatible: bool, **options: Any
) -> np.ndarray:
    """Every row of `make(**options)`; the audio goes in as chunks of these sizes, or whole."""
    stream = make(**options)
    parts, start = [], 0
    for size in sizes or [len(samples)]:
        stream.push(samples[start : start + size])
        parts.append(stream.pop())
        start += size
    assert start >= len(samples)
    stream.finish(compatible)
    return np.concatenate([*parts, stream.pop()])
