"""The whole Session in plain Python: what the native core must equal, byte for byte. Readable, slower, never needed to run."""

from edgeaff.reference.preprocessor import Preprocessor
from edgeaff.reference.session import Session

__all__ = ["Preprocessor", "Session"]
