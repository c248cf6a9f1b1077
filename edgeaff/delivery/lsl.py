"""Lab Streaming Layer: a regular stream of values per tick and a marker stream of status changes, on LSL's own clock."""

from __future__ import annotations

import time
from typing import Any

from edgeaff.closing import Closing
from edgeaff.delivery.annotations.series import MODEL_RATE_HZ
from edgeaff.errors import BackendUnavailableError
from edgeaff.listen.address import noted
from edgeaff.types import AffectEvent, Status, StatusEvent

CHANNELS = (
    ("valence", "normalized"),
    ("arousal", "normalized"),
    ("valence_std", "normalized"),
    ("arousal_std", "normalized"),
    ("video_coverage", "share"),
    ("audio_coverage", "share"),
    ("track_id", "id"),
    ("status", "code"),
    ("speaking", "probability"),
    ("valence_relative", "normalized"),
    ("arousal_relative", "normalized"),
)
MISSING = float("nan")  # LSL has no null


class LslSink(Closing):
    """Publishes events as an LSL outlet of type "Affect", and status changes as an outlet of type "Markers".

    A time stamp is the tick's instant on `pylsl.local_clock()`: live, the offset between the monotonic clock and LSL's is
    measured once; in file mode the first event is now. A missing number is NaN; the status code is the place in `Status`.
    """

    def __init__(self, name: str = "edgeaff", *, live: bool = True) -> None:
        """Opens both outlets.

        Args:
            name: name of the stream; the marker stream is NAME-markers.
            live: whether `pts_ns` is the monotonic clock.

        Raises:
            BackendUnavailableError: pylsl, or the liblsl library that it needs, is not installed.
        """
        try:
            import pylsl
        except (ImportError, RuntimeError, OSError) as error:  # RuntimeError: pylsl without liblsl
            raise BackendUnavailableError(
                f"lsl: needs pylsl with its liblsl library, got: {error}; pip install 'edgeaff[lab]'."
            ) from error
        self._lsl = pylsl
        self._offset = pylsl.local_clock() - time.monotonic() if live else None
        info = pylsl.StreamInfo(name, "Affect", len(CHANNELS), MODEL_RATE_HZ, pylsl.cf_double64, f"edgeaff-{name}")
        channels = info.desc().append_child("channels")
        for label, unit in CHANNELS:
            channels.append_child("channel").append_child_value("label", label).append_child_value("unit", unit)
        statuses = info.desc().append_child("statuses")
        for code, status in enumerate(Status):
            statuses.append_child_value(status.value, str(code))
        self._outlet: Any = pylsl.StreamOutlet(info)
        markers = pylsl.StreamInfo(
            f"{name}-markers", "Markers", 1, pylsl.IRREGULAR_RATE, pylsl.cf_string, f"edgeaff-{name}-markers"
        )
        self._markers: Any = pylsl.StreamOutlet(markers)
        self._status: Status | None = None
        self.notices = noted(f"lsl:{name}: every machine of the network can find and read this stream, in clear.")

    def write(self, event: AffectEvent) -> None:
        """Publishes one event, and a marker where the status changes."""
        if self._outlet is None:
            return
        seconds = event.pts_ns / 1e9
        if self._offset is None:
            self._offset = self._lsl.local_clock() - seconds
        stamp = seconds + self._offset
        self._outlet.push_sample(_sample(event), stamp)
        if event.status is not self._status:
            self._status = event.status
            self._markers.push_sample([event.status.value], stamp)

    def write_status(self, event: StatusEvent) -> None:
        """Publishes a StatusEvent as a marker: source, name and kind."""
        if self._markers is not None:
            self._markers.push_sample([f"{event.source}/{event.name}/{event.kind}"], self._lsl.local_clock())

    def close(self) -> None:
        """Closes both outlets; may be called again."""
        self._outlet = self._markers = None


def _sample(event: AffectEvent) -> list[float]:
    found = {
        "track_id": None if event.face is None else event.face.track_id,
        "status": list(Status).index(event.status),
    }
    numbers = [found[name] if name in found else getattr(event, name) for name, _ in CHANNELS]
    return [MISSING if value is None else float(value) for value in numbers]
