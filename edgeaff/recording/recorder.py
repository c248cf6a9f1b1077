"""Records a session while it runs: every call in order, crops and LLDs, and the events as they were delivered.

```
recorder = Recorder("session.eaffrec", options={...})
session = recorder.wrap(Session(bundle, tap=recorder, ...))     # same methods; every call is noted first
runtime delivers event -> recorder.write(event)                 # it is a sink as well
```
"""

from __future__ import annotations

import io
import json
import os
import queue
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from edgeaff.closing import Closing
from edgeaff.errors import ArgumentError
from edgeaff.forking import ProcessBound
from edgeaff.output_file import PRIVATE, free_name, open_output, opening
from edgeaff.parsing.boundary import boundary, reason_of
from edgeaff.parsing.json_text import parse_json
from edgeaff.recording.calls import SessionCalls
from edgeaff.recording.format import MAGIC, MOST_HEAD_BYTES, SCHEMA, Record, array_record, encode_record, faces_record
from edgeaff.types import AffectEvent, TrackedFace

_MAX_WAITING = 2048  # records; at 30 Hz with audio about ten seconds
_MAX_WAITING_BYTES = 1 << 28
_END_BYTES = 64  # kept for the last record
_UNRECORDABLE = (TypeError, ValueError, AttributeError, OverflowError)  # what an argument that is none raises here
Result = TypeVar("Result")


class Recorder(ProcessBound, Closing):
    """Writes a session file on its own thread. It is the tap of the session, and a sink.

    Where the disk is full or too slow the recording ends there, with a warning; the session continues.

    Attributes:
        warnings: why the recording ended early, at most one sentence.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        options: Mapping[str, Any] | None = None,
        raw: bool = False,
        keep_previous: bool = True,
        mode: int = PRIVATE,
        max_mb: float | None = None,
    ) -> None:
        """Opens the file; what is in it stays there until the session begins.

        Args:
            path: what to write; the folder must exist.
            options: what the session was made with; must be JSON. None leaves it to the Runtime (`describe`).
            raw: keep frames and audio themselves too. Without it no frame but the 96 x 96 crops and no audio but
                the LLDs is stored.
            keep_previous: rename a recording that is there to NAME.1.eaffrec (or the next free number); False overwrites it.
            mode: rights of a file that is made here; one that is there keeps its own.
            max_mb: where the recording would grow beyond this many megabytes it ends, with a warning; None never.

        Raises:
            ArgumentError: the file cannot be opened for writing, max_mb is not positive, or options are no JSON.
            DeviceError: the disk is full.
        """
        if max_mb is not None and not max_mb > 0:
            raise ArgumentError(f"max_mb must be positive, got {max_mb}; leave it out for no limit.")
        self._options = None if options is None else _as_json(options)
        self._notice: dict[str, Any] | None = None
        self._path, self._mode, self._keep_previous = path, mode, keep_previous
        self._bytes_left = None if max_mb is None else int(max_mb * 1e6) - _END_BYTES
        with opening(path):
            self._file = io.BufferedWriter(open_output(path, mode=mode))
        self.raw = raw
        self.warnings: list[str] = []
        self._records: queue.Queue[Record | None] = queue.Queue(_MAX_WAITING)
        self._failed = threading.Event()
        self._closed = False
        self._begun = False
        self._waiting_bytes, self._counting = 0, threading.Lock()
        self._thread = threading.Thread(target=self._work, name="edgeaff-recorder", daemon=True)
        self._thread.start()

    def describe(self, options: Mapping[str, Any]) -> None:
        """States what the session was made with, where that was not stated before; a Runtime does so.

        Args:
            options: keyword arguments of Session; must be JSON, else ArgumentError.
        """
        if self._options is None:
            self._options = _as_json(options)

    def state_notice(self, record: Mapping[str, Any]) -> None:
        """States that people were shown a notice, before the first record. record: must be JSON, else ArgumentError."""
        self._notice = _as_json(record)

    def wrap(self, session: SessionCalls) -> RecordedSession:
        """Returns the session with every call noted. The session must have been made with tap=recorder.

        Args:
            session: a Session.
        """
        return RecordedSession(session, self)

    def note(self, record: Record) -> None:
        """Hands a record to the writing thread; never waits."""
        self._require_own_process()
        if self._failed.is_set() or self._closed:
            return
        self._begin()
        with self._counting:
            self._waiting_bytes += len(record.stored)
            full = self._waiting_bytes > _MAX_WAITING_BYTES
        try:
            self._records.put_nowait(record)
        except queue.Full:
            full = True
        if full:
            self._fail("the disk is too slow for it")

    def _begin(self) -> None:
        """Puts the header before the first record."""
        if not self._begun:
            self._begun = True
            stated = {} if self._notice is None else {"notice": self._notice}
            head = {"schema": SCHEMA, "raw": self.raw, "session": self._options or {}, **stated}
            self._records.put_nowait(Record("H", head))

    # --- the tap ------------------------------------------------------------------------------------------------------

    def faces(
        self, pts_ns: int, find: Callable[[], list[tuple[TrackedFace, np.ndarray, int]]]
    ) -> list[tuple[TrackedFace, np.ndarray, int]]:
        """Returns the result of `find` on the frame at pts_ns, and records it."""
        found = find()
        self.note(faces_record(pts_ns, found))
        return found

    def rows(self, pop: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns the rows that `pop` gives, and notes them."""
        rows = np.asarray(pop(), dtype=np.float32)
        self.note(array_record("R", {}, rows))
        return rows

    # --- the sink -----------------------------------------------------------------------------------------------------

    def write(self, event: AffectEvent) -> None:
        """Notes an event as it was delivered; call it on the thread that calls the session, before its next call."""
        self.note(Record("E", event.to_dict()))

    def close(self, *, timeout_seconds: float = 2.0) -> None:
        """Writes what waits and closes the file; may be called again. Where no session was ever made the file stays as it was.

        Args:
            timeout_seconds: how long that may take.
        """
        if self._closed or self._is_inherited:
            return
        if self._options is not None:
            self._begin()
        self._closed = True
        try:
            self._records.put(None, timeout=timeout_seconds)
        except queue.Full:
            self._fail("the disk is too slow for it")
        self._thread.join(timeout_seconds)

    def _work(self) -> None:
        try:
            try:
                self._write_records()
            finally:
                self._file.close()
        except OSError as error:
            self._fail(str(error))
            while not self._closed and self._records.get() is not None:
                continue

    def _write_records(self) -> None:
        count = 0
        while (record := self._records.get()) is not None:
            if self._write_record(record, first=not count):
                count += 1
            if self._records.empty():
                self._file.flush()
        if count and not self._failed.is_set():
            self._file.write(encode_record(Record("Z", {"records": count})))

    def _write_record(self, record: Record, *, first: bool) -> bool:
        """Returns whether a record is in the file; where it cannot be, the recording ends."""
        with self._counting:
            self._waiting_bytes -= len(record.stored)
        if self._failed.is_set():
            return False
        try:
            data = encode_record(record)
        except (TypeError, ValueError, RecursionError) as error:  # a value that JSON does not have, or too large a call
            self._fail(f"a record cannot be written ({reason_of(error)})")
            return False
        if first:
            data = MAGIC + data
            self._start_file()
        if not self._has_room_for(len(data)):
            return False
        self._file.write(data)
        return True

    def _start_file(self) -> None:
        """Renames a recording that is there, or empties its file."""
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return
        if status.st_size and self._keep_previous:
            os.replace(self._path, free_name(self._path))
            self._file.close()
            self._file = io.BufferedWriter(open_output(self._path, mode=self._mode))
        else:
            self._file.truncate(0)

    def _has_room_for(self, size: int) -> bool:
        if self._bytes_left is not None:
            self._bytes_left -= size
            if self._bytes_left < 0:
                self._fail("it has reached max_mb")
        return not self._failed.is_set()

    def _fail(self, reason: str) -> None:
        if not self._failed.is_set():
            self._failed.set()
            self.warnings.append(f"the recording ended early: {reason}.")


def _as_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options as a recording holds them.

    Raises:
        ArgumentError: they are no JSON.
    """
    with boundary(
        ArgumentError, "options must be plain JSON (numbers, texts, booleans, None, lists)", "leave out the rest."
    ):
        text = json.dumps(dict(options), allow_nan=False)
        return parse_json(text.encode(), most_bytes=MOST_HEAD_BYTES // 2)


class RecordedSession:
    """A session whose calls are noted before they are made; everything else is that of the session."""

    def __init__(self, session: SessionCalls, recorder: Recorder) -> None:
        """Takes over a session; see `Recorder.wrap`."""
        self._session, self._recorder = session, recorder

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the session: counts, backend, bundle, ..."""
        return getattr(self._session, name)

    def push_frame(self, image: np.ndarray, *, pts_ns: int) -> list[AffectEvent]:
        """Returns the events of Session.push_frame; the call is noted first."""

        def record() -> Record:
            head = {"call": "push_frame", "pts_ns": int(pts_ns)}
            return array_record("C", head, image) if self._recorder.raw else Record("C", head)

        return self._noted(record, lambda: self._session.push_frame(image, pts_ns=pts_ns))

    def push_audio(self, samples: np.ndarray, *, pts_ns: int, sample_rate_hz: int) -> list[AffectEvent]:
        """Returns the events of Session.push_audio; the call is noted first."""

        def record() -> Record:
            head: dict[str, Any] = {"call": "push_audio", "pts_ns": int(pts_ns), "count": len(samples)}
            head["sample_rate_hz"] = int(sample_rate_hz)
            return array_record("C", head, np.asarray(samples)) if self._recorder.raw else Record("C", head)

        return self._noted(
            record, lambda: self._session.push_audio(samples, pts_ns=pts_ns, sample_rate_hz=sample_rate_hz)
        )

    def push_face(self, faces: Sequence[tuple[TrackedFace, np.ndarray]], *, pts_ns: int) -> list[AffectEvent]:
        """Returns the events of Session.push_face; the call is noted first."""

        def record() -> Record:
            given = faces_record(int(pts_ns), [(face, crop, int(pts_ns)) for face, crop in faces])
            return Record("C", {"call": "push_face", **given.head}, given.body)

        return self._noted(record, lambda: self._session.push_face(faces, pts_ns=pts_ns))

    def push_lld(self, rows: np.ndarray, *, pts_ns: int) -> list[AffectEvent]:
        """Returns the events of Session.push_lld; the call is noted first."""

        def record() -> Record:
            head = {"call": "push_lld", "pts_ns": int(pts_ns)}
            return array_record("C", head, np.asarray(rows, dtype=np.float32))

        return self._noted(record, lambda: self._session.push_lld(rows, pts_ns=pts_ns))

    def advance(self, pts_ns: int) -> list[AffectEvent]:
        """Returns the events of Session.advance; the call is noted first."""
        return self._noted(
            lambda: Record("C", {"call": "advance", "pts_ns": int(pts_ns)}), lambda: self._session.advance(pts_ns)
        )

    def swap_backend(self, backend: Any) -> None:
        """Same as Session.swap_backend; the call is noted with the backend's name once it has been made."""
        self._session.swap_backend(backend)
        name = backend if isinstance(backend, str) else backend.backend
        self._recorder.note(Record("C", {"call": "swap_backend", "backend": name}))

    def degrade(self, step: int) -> None:
        """Same as Session.degrade; the call is noted first."""
        self._noted(lambda: Record("C", {"call": "degrade", "step": int(step)}), lambda: self._session.degrade(step))

    def finish(self) -> list[AffectEvent]:
        """Returns the events of Session.finish; the call is noted first."""
        return self._noted(lambda: Record("C", {"call": "finish"}), self._session.finish)

    def reset(self) -> None:
        """Same as Session.reset."""
        self._noted(lambda: Record("C", {"call": "reset"}), self._session.reset)

    def _noted(self, record: Callable[[], Record], call: Callable[[], Result]) -> Result:
        """Returns the result of a call, recorded before it runs and marked as undone if it raises.

        Arguments that cannot be noted are left to the session, which names what is wrong with them.
        """
        try:
            noted = record()
        except _UNRECORDABLE:
            return call()
        self._recorder.note(noted)
        try:
            return call()
        except BaseException:
            self._recorder.note(Record("X", {}))
            raise
