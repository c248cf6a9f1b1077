"""Runtime: capture + Session + delivery, each on separate threads.

```
sources -> [worker: Session] -+-> EventQueue -> iterator | poll | async for
   |            |             +-> callbacks, sinks (a bounded queue and a thread each)
   +-- monitor -+-> StatusChannel -> on_status, on_first_face
```
User code never runs on a capture thread, the worker or the monitor. Its exceptions are raised where events are read (`reader`).
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from edgeaff.bundle import ModelBundle, open_bundle
from edgeaff.capture.group import LiveGroup
from edgeaff.capture.live import LiveSource
from edgeaff.capture.media_file import MediaFile
from edgeaff.capture.open import combine
from edgeaff.capture.push import PushAudio, PushVideo
from edgeaff.delivery.open import open_sinks
from edgeaff.delivery.provenance import provenance
from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.naming import public_name
from edgeaff.people.baseline import Baseline, as_plain
from edgeaff.recording.recorder import Recorder
from edgeaff.runtime import observe, snapshot
from edgeaff.runtime.config import OPTIONS, merge_options
from edgeaff.runtime.ladder import Ladder
from edgeaff.runtime.notice import NoticeRecord, check_notice, show_notice
from edgeaff.runtime.parts import Parts
from edgeaff.runtime.policy import Policy, as_policy
from edgeaff.runtime.reader import EventReader
from edgeaff.runtime.stats import RuntimeHealth, RuntimeStats
from edgeaff.runtime.swap import BackendSwap, announce, begin
from edgeaff.runtime.worker import RunningSession, Worker
from edgeaff.session import Session

Pushable = TypeVar("Pushable", PushVideo, PushAudio)
SESSION_OPTIONS = (
    "backend",
    "face_backend",
    "max_faces",
    "detector_stride",
    "smoothing",
    "staleness_seconds",
    "threads",
    "stride",
    "self_test",
    "active_speaker",
    "identity",
    "baseline",
    "changes",
)


class Runtime(EventReader):
    """Reads sources and delivers events.

    ```
    with edgeaff.Runtime(video="camera:0", audio="mic:default") as runtime:
        for event in runtime:
            print(event.pts_ns, event.status, event.valence, event.arousal)
    ```
    An argument that is None takes the value of the configuration, or else its default.

    Args:
        bundle: a ModelBundle, a path, or None for the shipped one.
        video: path or URI of the frames ("clip.mp4", "camera:0", "rtsp://..."; the table is in edgeaff.capture.uri), or a
            source such as PushVideo(). A file or stream brings its audio too, unless `audio` names another.
        audio: path or URI of the audio ("mic:default"), or a source such as PushAudio().
        backend: "default" (the bundle's, and the default), "onnxruntime", "openvino", "native", "tensorrt", or "auto": the fastest
            in a short trial. A live Runtime builds "tensorrt" in the background while the default backend runs, and swaps after
            the self-test.
        face_backend: backend of the face encoder; None for the one that matches `backend` ("auto" selects it separately).
        strict: raise instead of falling back to, or starting with, another backend; default False.
        max_faces: maximum number of faces with events per tick; default 1.
        detector_stride: run the detector on every n-th taken frame.
        smoothing: (valence_seconds, arousal_seconds), None for the bundle's.
        policy: which events a slow reader gets: "every", "latest" or a Policy.
        staleness_seconds: status STALE after this time without input; default 0.5.
        ladder: live only: do less work per frame while the worker falls behind (see runtime/ladder.py); default True.
        threads: maximum number of threads for one run of a graph; default 1.
        stride: compute every n-th tick and hold the value in between; for bundles with the graph affect_append; default 1.
        active_speaker: estimate how likely each face speaks, and use the voice as evidence for that face alone (docs/people.md);
            default False.
        identity: give a face that comes back its track id again, by a signature kept in memory until the end; default False.
        baseline: True states values against what is usual for the subject too; the file of a Baseline goes on from there.
        changes: look for lasting changes, see `on_change`; default False.
        notice: function that shows people the notice they are owed before anything is read, and returns its text
            (docs/privacy.md); it gets texts by language. See `notice_record`.
        self_test: replay golden ticks of the bundle before the first event. "warn" (default) or "refuse" if the values differ,
            or "off".
        serve: "host:port" or a port: /metrics, /status and /healthz over HTTP, on the loopback unless a host is named (port 0
            picks a free port, see `serve_url`); None opens no socket.
        live: "[host:]port" of a live page, see `live_url` and docs/live_page.md; port 0 picks a free port, None opens no socket.
        live_images: False: no image leaves the process; "crop" shows the faces on the live page, "frame" the whole frame.
        sinks: called for every event: objects with write(event) and close(), paths and URIs (`delivery.open`); a Recorder
            or a path that ends in .eaffrec among them records the session.
        config: TOML file with any of these options; arguments override it.
        key: PEM file of the public ed25519 key that must have signed the bundle; None requires no signature.
        minimum_version: lowest accepted `version` of a bundle; rejects an older one with a valid signature.

    Raises:
        ArgumentError: an option is unknown or out of range.
        MediaError: a file cannot be used.
        BundleError: the bundle cannot be used.
    """

    _notice_record: NoticeRecord | None = None

    def __init__(
        self,
        bundle: ModelBundle | str | os.PathLike[str] | None = None,
        *,
        video: Any = None,
        audio: Any = None,
        backend: str | None = None,
        face_backend: str | None = None,
        strict: bool | None = None,
        max_faces: int | None = None,
        detector_stride: int | None = None,
        smoothing: tuple[float, float] | None = None,
        policy: Policy | str | None = None,
        staleness_seconds: float | None = None,
        ladder: bool | None = None,
        threads: int | None = None,
        stride: int | None = None,
        self_test: str | None = None,
        active_speaker: bool | None = None,
        identity: bool | None = None,
        baseline: Any = None,
        changes: bool | None = None,
        notice: Any = None,
        serve: str | int | None = None,
        live: str | int | None = None,
        live_images: bool | str | None = None,
        sinks: Sequence[Any] | None = None,
        config: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        minimum_version: int | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name in OPTIONS}
        self._set_up(merge_options(arguments, config))

    def _set_up(self, options: dict[str, Any]) -> None:
        """Opens source, session and sinks from the merged options.

        Raises:
            ArgumentError: no source is named.
        """
        if options["video"] is None and options["audio"] is None:
            raise ArgumentError("video or audio must name a source, got neither; pass for example video='clip.mp4'.")
        chosen_policy = as_policy(options["policy"])
        self._serve: Any = options["serve"]
        if self._serve is not None:
            observe.parse_address(self._serve)
        observe.check_live(options["live"], options["live_images"])
        self._show_notice = check_notice(options["notice"])
        self._page: tuple[Any, Any, int] = (options["live"], options["live_images"], options["max_faces"])
        self._source = combine(options["video"], options["audio"])
        self._live = bool(self._source.is_live)
        self._staleness_seconds: float = options["staleness_seconds"]  # checked by Session
        self._source_name = " and ".join(
            public_name(given) for given in (options["video"], options["audio"]) if given is not None
        )
        with contextlib.ExitStack() as opened:
            named_sinks = open_sinks(options["sinks"], opened, live=self._live)
            recorder = next((sink for sink, _ in named_sinks if isinstance(sink, Recorder)), None)
            session = self._make_session(options, recorder)
            opened.pop_all()
        super().__init__(
            [sink for sink, _ in named_sinks if isinstance(sink, Recorder)], chosen_policy, live=self._live
        )
        for sink, name in named_sinks:
            if not isinstance(sink, Recorder):
                self._outlets.add_sink(sink, name)
        self._assemble(session, options)

    def _assemble(self, session: RunningSession, options: dict[str, Any]) -> None:
        """Makes the parts that run on threads. None of them holds the runtime, so that it can be dropped."""
        steps = Ladder() if self._live and self._source.has_video and options["ladder"] else None
        self._worker = Worker(
            self._source, session, outlets=self._outlets, status=self._status, ladder=steps, on_error=self._failure.keep
        )
        self._failure.then(self._worker.stop.set)
        self._status.observe(self._outlets.write_status)
        self._swap = BackendSwap(
            self._worker, self._status, options={name: options[name] for name in ("threads", "stride")}
        )
        announce(self._begun.session, self._status)
        if self._begun.refused is not None:
            self._swap.refuse(options["backend"], self._begun.refused)
        self._parts = Parts(
            self._source, self._live, self._worker, self._swap, self._outlets, self._monitor, self._status
        )
        self._forgotten = weakref.finalize(self, self._parts.stop_forgotten, self._source_name)
        self._forgotten.atexit = False

    def _make_session(self, options: dict[str, Any], recorder: Recorder | None) -> RunningSession:
        """Returns the session, recorded with the options that make it again if there is a recorder."""
        own_source = isinstance(options["video"], (str, os.PathLike))  # a source of the caller's stays unchanged
        self._reads_for_ticks = own_source and recorder is None
        chosen = {name: options[name] for name in SESSION_OPTIONS}
        chosen["baseline"] = as_plain(options["baseline"])
        chosen["video"] = self._source.has_video if self._live else True
        chosen["audio"] = self._source.has_audio if self._live else True
        bundle = open_bundle(options["bundle"], key=options["key"], minimum_version=options["minimum_version"])
        chosen["live"] = self._live
        self._begun = begin(
            lambda backend: Session(bundle, **{**chosen, "backend": backend}, tap=recorder),
            options["backend"],
            live=self._live,
            strict=options["strict"],
        )
        session, chosen["backend"] = self._begun.session, self._begun.backend
        if session.choice is not None and chosen["face_backend"] is None:
            chosen["face_backend"] = session.choice.face_backend
        if recorder is None:
            return session
        path = bundle.path if isinstance(options["bundle"], ModelBundle) else options["bundle"]
        recorder.describe({"bundle": None if path is None else os.fspath(path), **chosen, "self_test": "off"})
        return recorder.wrap(session)

    # --- life ---------------------------------------------------------------------------------------------------------------

    def start(self) -> Runtime:
        """Returns the runtime, with its threads started.

        Raises:
            SessionStateError: it was started before.
        """
        self._require_own_process()
        if self._started:
            raise SessionStateError("start must be called once, got a second call; make a new Runtime.")
        if self._show_notice is not None:
            self._state_notice(show_notice(self._show_notice))
        if self._serve is not None:
            self._parts.server = observe.start_server(weakref.proxy(self), self._serve)
        if self._page[0] is not None:
            self._show_page()
        if self._reads_for_ticks and self._page[0] is None and isinstance(self._source, MediaFile):
            self._source.read_for_ticks(self.bundle.spec.frame_tick)
        backend = None if self._begun.wanted is not None else self._worker.session.backend
        self._outlets.set_provenance(provenance(self.bundle, backend=backend))
        self._started = True
        self._status.start()
        self._outlets.start()
        self._worker.start()
        if self._begun.wanted is not None:
            self._swap.request(self._begun.wanted)
        worker = self._worker
        self._monitor.start(
            self._sources(),
            lambda: snapshot.counters(worker.session.counts),
            lambda: worker.alive,
            silence=worker.silent_seconds,
            staleness_seconds=self._staleness_seconds,
        )
        return self

    def _state_notice(self, record: NoticeRecord) -> None:
        self._notice_record = record
        for recorder in self._outlets.recorders:
            recorder.state_notice(record.to_dict())
        message = f"a notice of {record.characters} characters (SHA-256 {record.sha256}) was shown at {record.time}."
        self._status.emit("runtime", "notice_shown", message, counts={"characters": record.characters})

    def _show_page(self) -> None:
        page = self._parts.page = observe.start_page(weakref.proxy(self), *self._page)
        self._outlets.observe(page.write)
        self._worker.on_frame = page.note_frame
        self._status.subscribe(page.note_status)

    def stop(self) -> None:
        """Stops within a second from any state. Unread events are discarded; sinks get all delivered events.

        A driver, sink or callback that hangs is abandoned on its thread. In a forked child this does nothing.
        """
        if self._is_inherited:
            return
        self._forgotten.detach()
        self._parts.stop()

    def __enter__(self) -> Runtime:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def swap_backend(self, backend: str) -> None:
        """Swaps to another backend between two ticks, once it is built or loaded and has passed its self-test; returns immediately.

        `on_status` reports "swapped", or "swap_refused" if the old backend continues. A Recorder stores the swap.

        Args:
            backend: a name, as for the constructor.
        """
        self._require_own_process()
        self._swap.request(backend)

    # --- pushed input -------------------------------------------------------------------------------------------------------

    def push_frame(self, image: np.ndarray, *, pts_ns: int | None = None) -> int:
        """Returns the number of frames that were dropped for this one; never blocks. Needs video=PushVideo().

        Args:
            image: (H, W, 3) uint8 RGB; not copied.
            pts_ns: its time on the caller's clock; None for the monotonic clock now.
        """
        self._require_own_process()
        return int(self._pushable("video", PushVideo).push(image, pts_ns=pts_ns))

    def push_audio(self, samples: np.ndarray, *, pts_ns: int | None = None) -> int:
        """Returns the number of samples that were dropped for these; never blocks. Needs audio=PushAudio(sample_rate_hz=...).

        Args:
            samples: (n,) int16 or float32, mono; not copied.
            pts_ns: time of samples[0] on the caller's clock; None counts samples.
        """
        self._require_own_process()
        return int(self._pushable("audio", PushAudio).push(samples, pts_ns=pts_ns))

    def finish(self) -> None:
        """Ends the pushed input; iteration over the events then ends."""
        self._require_own_process()
        for source in self._sources():
            if hasattr(source, "finish"):
                source.finish()

    def _sources(self) -> tuple[LiveSource, ...]:
        return self._source.sources if isinstance(self._source, LiveGroup) else ()

    def _pushable(self, modality: str, kind: type[Pushable]) -> Pushable:
        for source in self._sources():
            if isinstance(source, kind):
                return source
        name = f"edgeaff.{kind.__name__}"
        raise ArgumentError(
            f"{modality} must be an {name} to be pushed to, got {self._source_name}; pass {modality}={name}()."
        )

    # --- what it reports about itself ---------------------------------------------------------------------------------------------

    @property
    def warnings(self) -> list[str]:
        """Warnings so far about the source, the model, the sinks and the servers, one sentence each."""
        self._require_own_process()
        of_session = self._begun.session.warnings
        of_sinks = (text for sink in self._outlets.queued_sinks for text in (*sink.notices, *sink.warnings))
        servers = (server for server in (self._parts.server, self._parts.page) if server is not None)
        of_server = (text for server in servers for text in server.notices)
        return [*self._source.warnings, *of_session, *of_sinks, *of_server]

    @property
    def notice_record(self) -> NoticeRecord | None:
        """When a notice was shown, and the digest of its text; None before start, and without one."""
        return self._notice_record

    def baseline(self, track_id: int | None = None) -> Baseline:
        """Returns the baseline of a subject so far; see `Session.baseline`."""
        self._require_own_process()
        found: Baseline = self._worker.session.baseline(track_id)
        return found

    @property
    def is_live(self) -> bool:
        """True if it reads devices, streams or pushed input instead of files."""
        return self._live

    @property
    def bundle(self) -> ModelBundle:
        """The bundle in use."""
        bundle: ModelBundle = self._worker.session.bundle
        return bundle

    @property
    def serve_url(self) -> str | None:
        """Address of /metrics, /status and /healthz; None unless requested and started."""
        return None if self._parts.server is None else self._parts.server.url

    @property
    def live_url(self) -> str | None:
        """Address of the live page with its token; None unless requested and started."""
        return None if self._parts.page is None else self._parts.page.url

    @property
    def source_name(self) -> str:
        """Name of the source, for messages."""
        return self._source_name

    @property
    def duration_seconds(self) -> float | None:
        """Length of the source, None if unknown."""
        seconds: float | None = self._source.duration_seconds
        return seconds

    def stats(self) -> RuntimeStats:
        """Returns a snapshot of the counters and measures."""
        self._require_own_process()
        return snapshot.stats(self._worker, self._outlets, self._source)

    def health(self) -> RuntimeHealth:
        """Returns the health of sources, worker and sinks."""
        self._require_own_process()
        return snapshot.health(
            self._worker,
            self._outlets,
            self._monitor,
            self._sources(),
            failed=self._failure.failed,
            swap=self._swap.state,
        )
