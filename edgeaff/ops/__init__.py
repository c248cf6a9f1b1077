"""Single entry to the compiled code.

`native()` gives the compiled module `edgeaff.ops._C`, or an error that states how to build it. This is the one place of the
package that reads an environment variable: `EDGEAFF_ISA` limits the instruction set (scalar, avx2, avx512, neon, neondot).
"""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType
from typing import Any

from edgeaff.errors import ArgumentError, BackendUnavailableError

INSTRUCTION_SETS = ("scalar", "neon", "neondot", "avx2", "avx512", "best")


@cache
def native() -> ModuleType:
    """Returns the compiled module.

    Raises:
        BackendUnavailableError: the module was not built, as after a plain install when run from the source folder.
        ArgumentError: EDGEAFF_ISA names no instruction set.
    """
    try:
        from edgeaff.ops import _C
    except ImportError as error:
        raise BackendUnavailableError(
            f"edgeaff.ops._C must be built, got: {error}; run `make dev` in the source folder, or `pip install .` "
            "and start Python from another folder."
        ) from error
    limit = os.environ.get("EDGEAFF_ISA")
    if limit is not None and not _C.set_instruction_set(limit):
        raise ArgumentError(f"EDGEAFF_ISA must be one of {', '.join(INSTRUCTION_SETS)}, got {limit!r}; unset it.")
    return _C


def set_instruction_set(name: str) -> None:
    """Limits run-time dispatch, for tests and benchmarks.

    Args:
        name: scalar, neon (without dot products), neondot, avx2, avx512, or best (no limit).

    Raises:
        ArgumentError: name is none of these.
    """
    if not native().set_instruction_set(name):
        raise ArgumentError(
            f"name must be one of {', '.join(INSTRUCTION_SETS)}, got {name!r}; pass 'best' to lift the limit."
        )


def build_info() -> dict[str, Any]:
    """Returns the build of the compiled module: compiler, CUDA architectures, instruction sets built and used."""
    return dict(native().build_info())
