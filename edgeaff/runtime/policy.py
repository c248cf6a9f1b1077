"""Policy: which events a slow reader gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeaff.errors import ArgumentError

KEEP = ("every", "latest")


@dataclass(frozen=True, slots=True)
class Policy:
    """The events that wait for a slow reader. In file mode only "latest" drops events.

    Attributes:
        keep: "every" keeps events in order and drops the oldest at `capacity`; "latest" keeps only the newest.
        capacity: maximum number of waiting events; 256 is 8.5 s of one face.
        max_age_seconds: an event that has waited longer is dropped and counted; None keeps it. Live only.
    """

    keep: str = "every"
    capacity: int = 256
    max_age_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise ArgumentError(f"policy must be one of {', '.join(KEEP)}, got {self.keep!r}; choose one.")
        if isinstance(self.capacity, bool) or not isinstance(self.capacity, int) or self.capacity < 1:
            raise ArgumentError(f"capacity must be an int >= 1, got {self.capacity!r}; leave it out for 256.")
        age = self.max_age_seconds
        if age is not None and not (isinstance(age, (int, float)) and 0 < age <= 3600):
            raise ArgumentError(f"max_age_seconds must be in (0, 3600] or None, got {age!r}; 0.2 suits a display.")


def as_policy(policy: Any) -> Policy:
    """Returns a Policy: the one given, that of a name ("every", "latest") or of a table of its fields, or the default for None.

    Raises:
        ArgumentError: it is none of these.
    """
    if policy is None:
        return Policy()
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, dict):
        unknown = set(policy) - {"keep", "capacity", "max_age_seconds"}
        if unknown:
            raise ArgumentError(
                f"policy must have the keys keep, capacity and max_age_seconds, got {min(unknown)!r}; correct it."
            )
        return Policy(**policy)
    if isinstance(policy, str):
        return Policy(policy)
    raise ArgumentError(f"policy must be a Policy or one of {', '.join(KEEP)}, got {policy!r}; choose one.")
