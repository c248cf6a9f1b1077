"""The notice that people before the device are owed (EU AI Act, article 50(3)), shown before anything of them is processed.

The texts are a start: who processes, why and for how long is the deployer's to add. docs/privacy.md has the rule and both dates.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgeaff.awaiting import is_async
from edgeaff.errors import ArgumentError

NOTICES: Mapping[str, str] = {
    "en": "A system that recognizes emotions is in use here. It estimates from camera and microphone how aroused and how pleasant "
    "people appear. The estimate is no finding about what anybody feels, and it can be wrong. Ask the operator who "
    "receives the values, for what purpose, and for how long they are kept.",
    "de": "Hier wird ein Emotionserkennungssystem eingesetzt. Es schätzt aus Kamera und Mikrofon, wie erregt und wie angenehm Menschen "
    "wirken. Die Schätzung sagt nicht, was jemand fühlt, und kann falsch sein. Fragen Sie den Betreiber, wer "
    "die Werte erhält, zu welchem Zweck und wie lange sie gespeichert werden.",
    "fr": "Un système de reconnaissance des émotions est utilisé ici. À partir d'une caméra et d'un microphone, il estime si les "
    "personnes paraissent plus ou moins activées et plus ou moins agréables. Cette estimation ne dit pas ce que quelqu'un ressent et peut "
    "être fausse. Demandez à l'exploitant qui reçoit les valeurs, dans quel but et pendant combien de temps elles sont conservées.",
    "es": "Aquí se utiliza un sistema de reconocimiento de emociones. A partir de una cámara y un micrófono estima lo activadas y lo "
    "agradables que parecen las personas. La estimación no dice lo que alguien siente y puede ser errónea. Pregunte al responsable "
    "quién recibe los valores, con qué fin y durante cuánto tiempo se conservan.",
}
Show = Callable[[Mapping[str, str]], str]


@dataclass(frozen=True, slots=True)
class NoticeRecord:
    """That a notice was shown.

    Attributes:
        time: when it had been, UTC, ISO 8601.
        sha256: of the text that was shown, UTF-8, hexadecimal.
        characters: of that text.
    """

    time: str
    sha256: str
    characters: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields in order, ready for JSON."""
        return asdict(self)


def check_notice(show: Any) -> Show | None:
    """Returns the function that shows the notice, or None.

    Raises:
        ArgumentError: it is no plain function.
    """
    if show is not None and (not callable(show) or is_async(show)):
        raise ArgumentError(
            f"notice must be a plain function that shows a text and returns it, got {show!r}; it is called with "
            "edgeaff.runtime.notice.NOTICES."
        )
    found: Show | None = show
    return found


def show_notice(show: Show) -> NoticeRecord:
    """Returns the record of a notice, after it was shown. show: gets NOTICES, and returns the text that it showed.

    Raises:
        ArgumentError: it returned no text, so nobody can state that one was shown.
    """
    text = show(NOTICES)
    if not isinstance(text, str) or not text.strip():
        raise ArgumentError(
            f"notice must return the text that it showed, got {text!r}; nothing is processed before one was shown."
        )
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return NoticeRecord(now, hashlib.sha256(text.encode()).hexdigest(), len(text))
