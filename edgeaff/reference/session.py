"""`edgeaff.Session` on the readable preprocessor."""

from __future__ import annotations

from edgeaff.reference.preprocessor import Preprocessor
from edgeaff.session import Session as NativeSession


class Session(NativeSession):
    """The same arguments, calls and events as `edgeaff.Session`."""

    _preprocessor_type = Preprocessor
