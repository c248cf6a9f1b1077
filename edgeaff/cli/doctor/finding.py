"""Result of a check: one line, a level, and advice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

OK, WARN, FAIL = "OK", "WARN", "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a check.

    Attributes:
        name: of the check; the same on every machine.
        level: OK; WARN, something will not work or not well, and the rest does; FAIL, nothing will work.
        text: what was found.
        advice: what to do; empty where all is well.
        data: the same in numbers, ready for JSON.
    """

    name: str
    level: str
    text: str
    advice: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.level:<5} {self.name:<12} {self.text}" + (f"\n{'':19}-> {self.advice}" if self.advice else "")


def guarded(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Returns the findings of a check; a check that breaks is a FAIL of that name, and the others continue.

    Args:
        name: of the check.
        check: returns findings.
    """
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a doctor that dies of one symptom is of no use
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return [Finding(name, FAIL, f"the check itself broke: {reason}", "report this line with your system.")]
