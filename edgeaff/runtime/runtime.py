"""Runtime: capture + Session + delivery, on a thread of its own.

```
source -> [worker thread: Session -> sinks] -> EventQueue -> iterator | poll | async for | callback thread
```
User code never runs on the worker; what the worker raises surfaces where the user reads.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from edgeaff.bundle import ModelBundle
from edgeaff.capture.group import combine
from edgeaff.delivery.recorder import Recorder
from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.runtime.config import merge_options
from edgeaff.runtime.queue import EventQueue
from edgeaff.session import Session
from edgeaff.types import AffectEvent, AudioChunk, VideoFrame


@dataclass(slots=True)
class RuntimeStats:
    """What happened so far: events by status, inputs repaired or dropped by cause, events dropped for slow readers."""

    events: int = 0
    events_by_status: dict[str, int] = field(default_factory=dict)
    events_dropped: int = 0
    frames: int = 0
    samples: int = 0
    inputs: dict[str, int] = field(default_factory=dict)
    source: dict[str, int] = field(default_factory=dict)


class Runtime:
    """Reads sources and delivers events.

    Args:
        bundle: a ModelBundle, a path, or None for the one that ships.
        video: path or URI of the pictures. A file brings its sound too, unless `audio` names another.
        audio: path or URI of the sound.
        backend: "default" (the bundle's), "onnxruntime", "openvino" or "native".
        strict: refuse to fall back to another backend.
        max_faces: most faces with events of their own per tick.
        detector_stride: run the detector on every n-th taken frame.
        smoothing: (valence_seconds, arousal_seconds), None for the bundle's.
        policy: "every" or "latest": which events a slow reader gets.
        staleness_seconds: status STALE after so long without any delivery.
        sinks: objects with write(event) and close(), called for every event; a Recorder among them records the session.
        config: TOML file with any of these options; arguments win.

    Raises:
        ArgumentError: an option is unknown or out of range.
        MediaError: a file cannot be used.
        BundleError: the bundle cannot be used.
    """

    def __init__(
        self,
        bundle: ModelBundle | str | None = None,
        *,
        video: Any = None,
        audio: Any = None,
        backend: str = "default",
        strict: bool = False,
        max_faces: int = 1,
        detector_stride: int | None = None,
        smoothing: tuple[float, float] | None = None,
        policy: str | None = None,
        staleness_seconds: float = 0.5,
        sinks: Sequence[Any] = (),
        config: str | os.PathLike[str] | None = None,
    ) -> None:
        arguments = {
            "bundle": bundle, "video": video, "audio": audio, "backend": backend, "strict": strict, "max_faces": max_faces,
            "detector_stride": detector_stride, "smoothing": smoothing, "policy": policy, "staleness_seconds": staleness_seconds,
        }  # fmt: skip
        options = merge_options(arguments, os.fspath(config) if config is not None else None)
        if options["video"] is None and options["audio"] is None:
            raise ArgumentError("video or audio must name a source, got neither; pass for example video='clip.mp4'.")
        self._source = combine(options["video"], options["audio"])
        self._live = self._source.is_live
        self._source_name = " and ".join(str(name) for name in (options["video"], options["audio"]) if name is not None)
        recorder = next((sink for sink in sinks if isinstance(sink, Recorder)), None)
        session = Session(
            options["bundle"],
            video=self._source.has_video if self._live else True,
            audio=self._source.has_audio if self._live else True,
            backend=options["backend"],
            max_faces=options["max_faces"],
            detector_stride=options["detector_stride"],
            smoothing=options["smoothing"],
            staleness_seconds=options["staleness_seconds"],
            tap=recorder,
        )
        self._session: Any = session if recorder is None else recorder.wrap(session)
        self._queue = EventQueue(options["policy"] or "every", lossless=not self._live)
        self._sinks = list(sinks)
        self._stats = RuntimeStats()
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._callbacks: list[tuple[Callable[[AffectEvent], None], EventQueue, threading.Thread]] = []
        self._error: BaseException | None = None
        self._lost = (0, 0)

    # --- life ---------------------------------------------------------------------------------------------------------------

    def start(self) -> Runtime:
        """Returns the runtime, with its worker started.

        Raises:
            SessionStateError: it was started before.
        """
        if self._worker is not None:
            raise SessionStateError("start must be called once, got a second call; make a new Runtime.")
        self._worker = threading.Thread(target=self._work, name="edgeaff-runtime", daemon=True)
        for _, _, thread in self._callbacks:
            thread.start()
        self._worker.start()
        return self

    def stop(self) -> None:
        """Stops within a second from any state; events not read yet are thrown away."""
        self._stop.set()
        if self._live:
            self._source.close()  # wakes a worker that waits for input
        self._queue.close(discard=True)
        for _, queue, _ in self._callbacks:
            queue.close(discard=True)
        if self._worker is not None and self._worker is not threading.current_thread():
            self._worker.join(timeout=5.0)

    def __enter__(self) -> Runtime:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- pushed input -------------------------------------------------------------------------------------------------------

    def push_frame(self, image: np.ndarray, *, pts_ns: int | None = None) -> int:
        """Returns how many pictures were dropped for this one; never blocks. Needs video=PushVideo().

        Args:
            image: (H, W, 3) uint8 RGB; not copied.
            pts_ns: its time on the caller's clock; None for the monotonic clock now.
        """
        return int(self._pushable("video", "PushVideo").push(image, pts_ns=pts_ns))

    def push_audio(self, samples: np.ndarray, *, pts_ns: int | None = None) -> int:
        """Returns how many samples were dropped for these; never blocks. Needs audio=PushAudio(sample_rate_hz=...).

        Args:
            samples: (n,) int16 or float32, mono; not copied.
            pts_ns: time of samples[0] on the caller's clock; None counts samples.
        """
        return int(self._pushable("audio", "PushAudio").push(samples, pts_ns=pts_ns))

    def finish(self) -> None:
        """Says that nothing more will be pushed, so that the events end."""
        for source in getattr(self._source, "sources", ()):
            if hasattr(source, "finish"):
                source.finish()

    def _pushable(self, modality: str, kind: str) -> Any:
        for source in getattr(self._source, "sources", ()):
            if type(source).__name__ == kind:
                return source
        raise ArgumentError(
            f"{modality} must be an edgeaff.{kind} to be pushed to, got {self._source_name}; pass {modality}=edgeaff.{kind}()."
        )

    # --- delivery -----------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[AffectEvent]:
        """Yields events until the source ends; raises what the worker raised."""
        while True:
            event = self._queue.get()
            if event is None:
                self._raise_worker_error()
                return
            yield event

    def poll(self, timeout_seconds: float = 0.0) -> AffectEvent | None:
        """Returns the next event, or None when there is none within the timeout."""
        event = self._queue.get(timeout_seconds)
        if event is None:
            self._raise_worker_error()
        return event

    async def __aiter__(self) -> AsyncIterator[AffectEvent]:
        """Yields events without blocking the event loop."""
        while True:
            event = await asyncio.to_thread(self._queue.get)
            if event is None:
                self._raise_worker_error()
                return
            yield event

    def on_event(self, callback: Callable[[AffectEvent], None], *, policy: str = "every") -> None:
        """Calls back for every event on a thread of its own; an exception in it surfaces in join, iteration or poll.

        Args:
            callback: called with each AffectEvent.
            policy: "every" or "latest", when the callback is slower than the events.

        Raises:
            SessionStateError: the runtime runs already.
        """
        if self._worker is not None:
            raise SessionStateError("on_event must be called before start, got it after; register callbacks first.")
        queue = EventQueue(policy, lossless=True)
        thread = threading.Thread(target=self._call_back, args=(callback, queue), name="edgeaff-callback", daemon=True)
        self._callbacks.append((callback, queue, thread))

    def join(self) -> None:
        """Waits until the source has ended and every callback has returned, without reading events oneself."""
        while not self._queue.finished:
            self._queue.get()
        for _, _, thread in self._callbacks:
            thread.join()
        self._raise_worker_error()

    @property
    def finished(self) -> bool:
        """Whether the source has ended and every event has been read."""
        return self._queue.finished

    @property
    def warnings(self) -> list[str]:
        """What was found wrong with the source so far, one sentence each."""
        return list(self._source.warnings)

    @property
    def source_name(self) -> str:
        """What is read, for messages."""
        return self._source_name

    @property
    def duration_seconds(self) -> float | None:
        """Length of the source, None if unknown."""
        return self._source.duration_seconds

    def stats(self) -> RuntimeStats:
        """Returns a snapshot of the counters."""
        counts = dataclasses.asdict(self._session.counts)
        dropped = self._queue.dropped + sum(queue.dropped for _, queue, _ in self._callbacks)
        return dataclasses.replace(
            self._stats,
            events_by_status=dict(self._stats.events_by_status),
            events_dropped=dropped,
            inputs=counts,
            source=dict(self._source.counts),
        )

    # --- the worker ---------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            with self._source as source:
                for unit in source.inputs() if self._live else source:
                    if self._stop.is_set():
                        return
                    self._deliver(self._push(unit))
                self._deliver(self._session.finish())
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            self._error = error
        finally:
            self._close_sinks()
            self._queue.close()
            for _, queue, _ in self._callbacks:
                queue.close()

    def _push(self, unit: VideoFrame | AudioChunk | int) -> list[AffectEvent]:
        if isinstance(unit, int):
            return self._session.advance(unit)
        if isinstance(unit, VideoFrame):
            self._stats.frames += 1
            return self._session.push_frame(unit.image, pts_ns=unit.pts_ns)
        self._stats.samples += len(unit.samples)
        return self._session.push_audio(unit.samples, pts_ns=unit.pts_ns, sample_rate_hz=unit.sample_rate_hz)

    def _deliver(self, events: list[AffectEvent]) -> None:
        for event in self._stamped(events) if self._live else events:
            self._stats.events += 1
            name = event.status.value
            self._stats.events_by_status[name] = self._stats.events_by_status.get(name, 0) + 1
            for sink in self._sinks:
                sink.write(event)
            for _, queue, _ in self._callbacks:
                queue.put(event)
            self._queue.put(event)

    def _stamped(self, events: list[AffectEvent]) -> list[AffectEvent]:
        """Returns the events with what only a live runtime knows: latency, and inputs dropped since the last one."""
        if not events:
            return events
        now = self._source.now_ns()
        counts = self._source.counts
        lost = (counts.get("frames_replaced", 0), counts.get("samples_dropped", 0))
        new = lost[0] - self._lost[0] + (lost[1] > self._lost[1])  # frames, and 1 for sound that was lost
        self._lost = lost
        stamped = []
        for index, event in enumerate(events):
            latency_ms = None if now is None else max(0.0, round((now - event.pts_ns) / 1e6, 3))
            stamped.append(dataclasses.replace(event, latency_ms=latency_ms, dropped_since_last=0 if index else new))
        return stamped

    def _call_back(self, callback: Callable[[AffectEvent], None], queue: EventQueue) -> None:
        try:
            while (event := queue.get()) is not None:
                callback(event)
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            self._error = self._error or error
            queue.close(discard=True)
            self._stop.set()
            self._queue.close()

    def _close_sinks(self) -> None:
        for sink in self._sinks:
            try:
                sink.close()
            except OSError as error:
                self._error = self._error or error

    def _raise_worker_error(self) -> None:
        if self._error is not None and self._queue.finished:
            error, self._error = self._error, None
            raise error
