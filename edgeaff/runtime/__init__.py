"""Runtime: capture + Session + delivery; and analyze, its lossless form for files."""

from edgeaff.delivery.table import AffectTable
from edgeaff.runtime.analyze import analyze
from edgeaff.runtime.policy import Policy
from edgeaff.runtime.queue import EventQueue
from edgeaff.runtime.runtime import Runtime
from edgeaff.runtime.stats import RuntimeHealth, RuntimeStats
from edgeaff.runtime.status import StatusChannel

__all__ = [
    "AffectTable",
    "EventQueue",
    "Policy",
    "Runtime",
    "RuntimeHealth",
    "RuntimeStats",
    "StatusChannel",
    "analyze",
]
