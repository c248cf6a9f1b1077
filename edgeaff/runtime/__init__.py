"""Runtime: capture + Session + delivery; and analyze, its lossless form for files."""

from edgeaff.runtime.analyze import AffectTable, analyze
from edgeaff.runtime.queue import EventQueue
from edgeaff.runtime.runtime import Runtime, RuntimeStats

__all__ = ["AffectTable", "EventQueue", "Runtime", "RuntimeStats", "analyze"]
