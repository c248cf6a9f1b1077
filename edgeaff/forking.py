"""`ProcessBound`: base of objects that are tied to the process that made them, and are never destroyed in a forked child.

Engines, decoders and devices own threads. A forked child gets a copy of the objects but none of the threads: a lock that a
thread held stays held, and a destructor that joins the threads never returns. Therefore every use in a child raises before
it takes a lock. Inherited objects are kept alive until the child exits, so their destructors, which would also close the
parent's devices and streams, never run there.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import TYPE_CHECKING, Any

from edgeaff.errors import SessionStateError

if TYPE_CHECKING:
    from typing import Self


class ProcessBound:
    """Base of objects that belong to the process in which they were made."""

    _made_in: int

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Returns a new object, noted as belonging to this process."""
        made = super().__new__(cls)
        made._made_in = os.getpid()
        _bound.add(made)
        return made

    @property
    def _is_inherited(self) -> bool:
        """True in a forked child of the process that made the object."""
        return self._made_in != os.getpid()

    def _require_own_process(self) -> None:
        """Checks that this process made the object, without taking a lock.

        Raises:
            SessionStateError: this process is a forked child of that one.
        """
        if self._made_in != os.getpid():
            raise SessionStateError(
                f"{type(self).__name__} must be used in the process that made it, got its forked child; make a new one there."
            )


_bound: weakref.WeakSet[ProcessBound] = weakref.WeakSet()


def _keep_what_is_inherited() -> None:
    for thing in list(_bound):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))  # never given back


if hasattr(os, "register_at_fork"):  # systems without fork need none of it
    os.register_at_fork(after_in_child=_keep_what_is_inherited)
