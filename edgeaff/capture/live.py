"""Base of all live sources: a thread that may be abandoned, an inbox of bounded size, health, reconnection.

```
device --[capture thread]--> Inbox --> take() or iteration (the reader's thread)
              |                            |
              +-- reconnects with back-off +-- watches: stalled? frozen? a thread stuck in the driver is left behind
```
Time is the monotonic clock. A reader never blocks longer than its timeout, even if the driver blocks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from edgeaff.capture.health import FreezeWatch, Health, SourceHealth
from edgeaff.capture.inbox import Inbox
from edgeaff.closing import Closing
from edgeaff.errors import DeviceError, EdgeaffError
from edgeaff.forking import ProcessBound
from edgeaff.naming import public_name, without_secrets
from edgeaff.spec import NANOSECONDS
from edgeaff.types import AudioChunk, VideoFrame

if TYPE_CHECKING:
    from typing import Self

BACKOFF_SECONDS = (0.1, 0.2, 0.4, 0.5)  # the last one repeats; recovery stays under 3 s
MAX_ABANDONED = 2


class LiveSource(ProcessBound, Closing):
    """Base of camera, microphone, network and paced sources. Subclasses implement `_open`, `_read` and `_shut`.

    Attributes:
        name: for messages.
        warnings: problems so far, one sentence each, at most 20.
        rejected_settings: the warnings about settings that the device rejected.
        inbox: the units that wait for the reader.
    """

    is_live = True
    duration_seconds: float | None = None
    has_video = False
    has_audio = False

    def __init__(
        self,
        name: str,
        *,
        max_frames: int = 1,
        max_audio_seconds: float = 5.0,
        stall_seconds: float = 1.0,
        freeze_seconds: float | None = None,
        reconnect: bool = True,
        connect_seconds: float = 10.0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Prepares the source; entering it opens the device.

        Args:
            name: for messages; a URI is shown without its secrets.
            max_frames: frames kept for a slow reader; 1 is "always the newest".
            max_audio_seconds: audio kept for a slow reader.
            stall_seconds: time without delivery that counts as a stall; after three times that, the thread is abandoned.
            freeze_seconds: time with identical frames that counts as a freeze; None switches that off.
            reconnect: reopen the device after it is lost.
            connect_seconds: time limit of entering.
            clock: monotonic nanoseconds.
        """
        self.name = public_name(name)
        self.warnings: list[str] = []
        self.rejected_settings: list[str] = []
        self.inbox = Inbox(max_frames=max_frames, max_audio_seconds=max_audio_seconds)
        self._stall_ns = int(stall_seconds * NANOSECONDS)
        self._freeze = FreezeWatch(freeze_seconds)
        self._reconnects_allowed = reconnect
        self._connect_seconds = connect_seconds
        self._clock = clock
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._first_attempt = threading.Event()
        self._threads: list[threading.Thread] = []
        self._generation = 0
        self._state, self._detail = Health.STARTING, ""
        self._last_ns: int | None = None
        self._alive_ns = 0  # last sign of life of the current thread
        self._first_error: EdgeaffError | None = None
        self._ever_connected = False
        self._counts = {"frames": 0, "samples": 0, "frozen_frames": 0, "reconnects": 0, "abandoned_threads": 0}

    # --- for children -------------------------------------------------------------------------------------------------

    def _open(self) -> Any:
        """Returns the opened device; DeviceError or MediaError if it cannot be opened."""
        raise NotImplementedError

    def _read(self, device: Any) -> Iterator[VideoFrame | AudioChunk | None]:
        """Yields what the device gives; None is a sign of life. Ends, or raises an EdgeaffError, when it is lost."""
        raise NotImplementedError

    def _shut(self, device: Any) -> None:
        """Closes the device."""
        raise NotImplementedError

    def now_ns(self) -> int | None:
        """Returns the present instant on the source's timeline."""
        return self._clock()

    # --- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Returns the source, started."""
        return self.start()

    def start(self) -> Self:
        """Starts the capture thread and waits until the device is open.

        Returns:
            The source itself.

        Raises:
            DeviceError: the device cannot be opened, or did not answer in time (a MediaError for a stream).
        """
        self._require_own_process()
        self._spawn()
        if not self._first_attempt.wait(self._connect_seconds):
            self.close()
            raise DeviceError(
                f"{self.name} did not open within {self._connect_seconds:g} s. Check the device or address."
            )
        if self._first_error is not None and not self._ever_connected:
            self.close()
            raise self._first_error from None
        return self

    def close(self) -> None:
        """Stops within half a second; a thread stuck in the driver is abandoned. In a forked child this does nothing."""
        self.end()
        self.join(time.monotonic() + 0.5)

    def end(self) -> None:
        """Asks the capture thread to end; does not wait for it."""
        if self._is_inherited:
            return
        self._stop.set()
        self._first_attempt.set()  # wakes a caller that waits for the device to open
        self.inbox.close()
        self._state = Health.ENDED

    def join(self, deadline: float) -> None:
        """Waits for the capture thread.

        Args:
            deadline: time.monotonic() at which it is abandoned.
        """
        for thread in self._threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def skew_ppm(self) -> float | None:
        """Skew in ppm: how much slower its clock runs than the monotonic clock; None if it has no clock."""
        return None

    @property
    def kind(self) -> str:
        """Source of its StatusEvents: "camera", "mic", or "stream" for both."""
        if self.has_video and self.has_audio:
            return "stream"
        return "camera" if self.has_video else "mic"

    def _spawn(self) -> None:
        with self._lock:
            if self._stop.is_set():
                return
            self._generation += 1
            self._alive_ns = self._clock()
            thread = threading.Thread(
                target=self._work, args=(self._generation,), name=f"edgeaff-{self.name}", daemon=True
            )
            self._threads = [old for old in self._threads if old.is_alive()] + [thread]
            thread.start()

    # --- the capture thread -------------------------------------------------------------------------------------------

    def _is_current(self, generation: int) -> bool:
        return generation == self._generation and not self._stop.is_set()

    def _work(self, generation: int) -> None:
        attempt = 0
        while self._is_current(generation):
            received = False
            try:
                device = self._open()
                self._connected()
                try:
                    for unit in self._read(device):
                        if not self._is_current(generation):
                            return
                        received = self._accept(unit) or received
                finally:
                    self._shut(device)
                reason = f"{self.name} ended."
            except EdgeaffError as error:
                reason = str(error)
                self._first_error = self._first_error or error
            except Exception as error:  # noqa: BLE001 - any error of a driver's binding is a lost device, not a dead thread
                reason = f"{self.name} failed: {type(error).__name__}: {without_secrets(str(error))}. Check the device."
                self._first_error = self._first_error or DeviceError(reason)
            self._first_attempt.set()
            if not self._is_current(generation):
                return
            if not self._reconnects_allowed:
                self._state, self._detail = Health.ENDED, reason
                self.inbox.close()
                return
            attempt = 0 if received else attempt + 1
            self._lost(reason)
            self._stop.wait(BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)])
            if self._is_current(generation):
                self._state = Health.RECONNECTING
                self._counts["reconnects"] += 1
                self._alive_ns = self._clock()

    def _connected(self) -> None:
        self._alive_ns = self._clock()
        self._ever_connected = True
        self._first_attempt.set()

    def _lost(self, reason: str) -> None:
        if self._state is not Health.FROZEN:
            self._state = Health.LOST
        self._detail = reason
        self._alive_ns = self._clock()
        self._warn(reason)

    def _warn(self, sentence: str, *, rejected: bool = False) -> None:
        if len(self.warnings) < 20 and sentence not in self.warnings:
            self.warnings.append(sentence)
            if rejected:
                self.rejected_settings.append(sentence)

    def _accept(self, unit: VideoFrame | AudioChunk | None) -> bool:
        """Puts a unit into the inbox.

        Args:
            unit: what `_read` gave.

        Returns:
            True if it was a unit, False for a sign of life.

        Raises:
            DeviceError: a frozen device must be opened again.
        """
        self._alive_ns = self._clock()
        if unit is None:
            return False
        if isinstance(unit, VideoFrame):
            frozen = self._freeze.frozen_seconds(unit)
            if frozen:
                self._counts["frozen_frames"] += 1
                self._state, self._detail = Health.FROZEN, f"{self.name} repeats the same frame."
                if self._counts["frozen_frames"] % 90 == 0:
                    raise DeviceError(f"{self.name} has repeated one frame for {frozen:.0f} s.")
                return True
            self._counts["frames"] += 1
        else:
            self._counts["samples"] += unit.samples.size
        self._last_ns = self._alive_ns
        self._state, self._detail = Health.OK, ""
        self.inbox.put(unit)
        return True

    # --- the reader ---------------------------------------------------------------------------------------------------

    def health(self) -> SourceHealth:
        """Returns the health of the source. Also starts a new thread when the old one is stuck. From any thread."""
        self._require_own_process()
        with self._lock:
            return self._health()

    def _health(self) -> SourceHealth:
        now = self._clock()
        age = None if self._last_ns is None else (now - self._last_ns) / NANOSECONDS
        silent = now - self._alive_ns
        state, detail = self._state, self._detail
        if self._threads and state in (Health.OK, Health.STARTING, Health.RECONNECTING) and silent > self._stall_ns:
            state, detail = Health.STALLED, f"{self.name} has given nothing for {silent / NANOSECONDS:.1f} s."
            if silent > 3 * self._stall_ns and self._ever_connected:
                self._abandon()
        return SourceHealth(state, age, detail, self._counts["reconnects"])

    def _abandon(self) -> None:
        stuck = sum(thread.is_alive() for thread in self._threads)
        if stuck <= MAX_ABANDONED and not self._stop.is_set():
            self._counts["abandoned_threads"] += 1
            self._warn(f"{self.name} hung in its driver; the capture thread was abandoned and the device opened again.")
            self._spawn()
        self._alive_ns = self._clock()

    @property
    def counts(self) -> dict[str, int]:
        """Returns the counts of delivered, lost and repaired units, by cause."""
        return {
            **self._counts,
            "frames_replaced": self.inbox.frames_replaced,
            "samples_dropped": self.inbox.samples_dropped,
        }

    def take(self, timeout_seconds: float | None = None) -> VideoFrame | AudioChunk | None:
        """Returns the earliest unit that waits, or None after the timeout or when the source has ended.

        Args:
            timeout_seconds: how long to wait; None waits without limit.
        """
        return take_from((self,), timeout_seconds)

    @property
    def ended(self) -> bool:
        """True once nothing waits and nothing more will come."""
        self._require_own_process()
        with self.inbox.changed:
            return self.inbox.closed and self.inbox.peek_order() is None

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields units until the source ends or is closed."""
        yield from units_of(self)


class Waiting(Protocol):
    """Protocol of the sources that `units_of` reads: a live source, or a group of them."""

    @property
    def ended(self) -> bool:
        """True once nothing waits and nothing more will come."""
        ...

    def take(self, timeout_seconds: float | None = None) -> VideoFrame | AudioChunk | None:
        """Returns the earliest unit that waits, or None after the timeout or at the end."""
        ...

    def health(self) -> object:
        """Judges the health."""
        ...


def units_of(source: Waiting) -> Iterator[VideoFrame | AudioChunk]:
    """Yields the units of a live source or group until it has ended; while nothing comes, its health is judged."""
    while not source.ended:
        unit = source.take(0.25)
        if unit is not None:
            yield unit
        else:
            source.health()


def take_from(sources: Sequence[LiveSource], timeout_seconds: float | None) -> VideoFrame | AudioChunk | None:
    """Returns the earliest unit of several sources that share a condition, or None after the timeout or at the end."""
    for source in sources:
        source._require_own_process()
    changed = sources[0].inbox.changed
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    with changed:
        while True:
            heads = [(order, index) for index, source in enumerate(sources) if (order := source.inbox.peek_order())]
            if heads:
                return sources[min(heads)[1]].inbox.pop()
            if all(source.inbox.closed for source in sources):
                return None
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return None
            changed.wait(remaining)
