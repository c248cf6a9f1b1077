"""`LivePage`: the page, its stream and the status on one port.

Delivering to it never waits: everything goes through queues of fixed length to the one thread of the listener.

```
worker --write--> deque -+                        +-> Viewer (WebSocket), at most 8
status --note_status-----+-> [listener: 10 Hz] ---+-> Ring: ten minutes
worker --note_frame--> newest frame -> Thumbnails-+   (only where images are allowed)
```
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from edgeaff.closing import Closing
from edgeaff.errors import ArgumentError, EdgeaffError
from edgeaff.listen.address import parse_listen_address
from edgeaff.listen.messages import Request, Response, text_response
from edgeaff.listen.metrics import plain, status_json
from edgeaff.listen.server import Limits, Listener
from edgeaff.listen.status_server import status_answer
from edgeaff.listen.websocket import server_protocol, shake_hands
from edgeaff.live.history import HISTORY_SECONDS, Ring
from edgeaff.live.protocol import (
    COLUMNS,
    PROTOCOL,
    TICK_HZ,
    TOO_MANY,
    HealthNote,
    Hello,
    StatusNote,
    Ticks,
    encode,
    statuses,
)
from edgeaff.live.text import text_of
from edgeaff.live.thumbnails import Thumbnails
from edgeaff.live.viewer import Viewer
from edgeaff.spec import PreprocessSpec
from edgeaff.types import CIRCUMPLEX_LABELS, EVENT_SCHEMA, AffectEvent, StatusEvent, TrackedFace, VideoFrame
from edgeaff.version import __version__

IMAGES = ("", "crop", "frame")
MOST_VIEWERS = 8
BEAT_SECONDS = 0.1
IDLE_SECONDS = 0.5  # between two beats without viewers
BEATS_PER_HEALTH = 10
KEPT_NOTES = 64
_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_FILES = ("live.css", "live.js", "store.js", "charts.js", "icon.svg")
_PAGES = {"/": "index.html", **{f"/{name}": name for name in _FILES}}


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """Subject of a page.

    Attributes:
        input: name of what is read.
        bundle: model id.
        backend: its name.
        limits: of the bundle: `abstain_above_std`.
        smoothing: of the bundle, seconds.
        max_faces: most faces per tick.
    """

    input: str
    bundle: str = ""
    backend: str = ""
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    smoothing: Mapping[str, float] = dataclasses.field(default_factory=dict)
    max_faces: int = 1


class LivePage(Closing):
    """Serves the page of one session.

    Attributes:
        url: with the token behind `#`, which a browser keeps to itself.
        ring: ticks of the last ten minutes.
        notices: what should be known of its safety, one sentence each.
        images_sent: how many images were sent so far.
        is_live: whether it goes on until it is closed.
    """

    is_live = True

    def __init__(
        self,
        address: Any,
        shown: Shown,
        *,
        status: Callable[[], Mapping[str, Any]] = dict,
        healthy: Callable[[], bool] = lambda: True,
        images: str = "",
        spec: PreprocessSpec | None = None,
        stored: Sequence[AffectEvent] | None = None,
    ) -> None:
        """Starts listening.

        Args:
            address: as `edgeaff.listen.address` has it; without a token in it one is made.
            shown: what the page is about.
            status: the answer of /status; called on the listener's thread.
            healthy: answers /healthz.
            images: "", "crop" or "frame": what may leave the server as an image.
            spec: how faces are cropped; None for the default.
            stored: events of a file: the page has a scrub bar for all of them.

        Raises:
            ArgumentError: the address or images is not what it must be.
            BackendUnavailableError: a package is missing.
        """
        if images not in IMAGES:
            raise ArgumentError(
                f"live_images must be False, 'crop' or 'frame', got {images!r}; leave it out for no image."
            )
        host, port, access = parse_listen_address(address, name="live")
        if access.token is None:
            access = dataclasses.replace(access, token=secrets.token_urlsafe(16))
        self._protocol_kind = server_protocol()
        self._files = {
            path: (resources.files("edgeaff.live") / "static" / name).read_bytes() for path, name in _PAGES.items()
        }
        self._stored, self._shown, self._images = stored, shown, images
        self._spec = spec or PreprocessSpec()
        self._status, self._healthy = status, healthy
        self.ring = Ring(
            max(1, len(stored)) if stored is not None else HISTORY_SECONDS * TICK_HZ * max(1, shown.max_faces)
        )
        for event in stored or ():
            self.ring.append(event)
        self._events: deque[tuple[AffectEvent, int]] = deque(maxlen=self.ring.capacity)
        self._happened: deque[StatusEvent] = deque(maxlen=KEPT_NOTES)
        self._notes: deque[bytes] = deque(maxlen=KEPT_NOTES)
        self._faces: list[TrackedFace] = []  # of the newest tick
        self._frame: VideoFrame | None = None
        self._frame_size: tuple[int, int] | None = None
        self._viewers: list[Viewer] = []
        self._beats = 0
        self._newest_pts_ns: int | None = None
        self.images_sent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._listener = Listener(
            self._respond,
            host=host,
            port=port,
            access=access,
            limits=Limits(),
            open_stream=self._open,
            public=_PAGES,
            name="live",
        )
        self.notices = self._listener.notices
        self.url = f"{self._listener.url}/#{access.token}"
        self._thumbnails = Thumbnails(images, self._spec, self._post_images) if images else None
        self._listener.loop.call_soon_threadsafe(self._beat)
        self._listener.loop.call_soon_threadsafe(self._look_after_viewers)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._listener.port

    @property
    def viewers(self) -> int:
        """Number of watching pages."""
        return len(self._viewers)

    # --- for the runtime: nothing here waits --------------------------------------------------------------------------

    def write(self, event: AffectEvent) -> None:
        """Takes an event."""
        self._events.append((event, time.monotonic_ns()))

    def note_status(self, event: StatusEvent) -> None:
        """Takes a status event."""
        self._happened.append(event)

    def note_frame(self, frame: VideoFrame) -> None:
        """Takes the size of a frame, and the frame itself where images are allowed."""
        self._frame_size = (frame.image.shape[1], frame.image.shape[0])
        if self._images:
            self._frame = frame

    def close(self) -> None:
        """Stops the server and its viewers; may be called again."""
        self._listener.close()
        if self._thumbnails is not None:
            self._thumbnails.close()

    # --- on the listener's thread -------------------------------------------------------------------------------------

    def _respond(self, request: Request) -> Response:
        name = _PAGES.get(request.path)
        if name is not None:
            headers = {"Content-Security-Policy": _policy(request.headers.get("host", ""))}
            return Response(
                200, f"{_KINDS[name.rpartition('.')[2]]}; charset=utf-8", self._files[request.path], headers
            )
        if request.path == "/live.txt":
            self._deliver()
            title = f"edgeaff: apparent valence and arousal of {self._shown.input}, one line a second"
            return Response(
                200, "text/plain; charset=utf-8", text_of(self.ring, title=title).encode("utf-8", "backslashreplace")
            )
        if request.path == "/event" and self._stored is not None:
            return self._event(request.query.get("row", ""))
        return status_answer(request.path, self._status, self._healthy) or text_response(404, "there is no such page")

    def _event(self, row: str) -> Response:
        """Returns a stored event as its line of JSON."""
        assert self._stored is not None
        if not (row.isascii() and row.isdigit() and len(row) <= 12 and int(row) < len(self._stored)):
            return text_response(404, "there is no such row")
        return Response(200, "application/json", status_json(self._stored[int(row)].to_dict()).encode())

    def _open(self, request: Request, transport: asyncio.Transport, listener: Listener) -> Viewer | Response:
        if request.path != "/stream":
            return text_response(404, "the WebSocket is /stream")
        protocol = shake_hands(self._protocol_kind, request)
        return protocol if isinstance(protocol, Response) else Viewer(self, protocol, transport, listener)

    def join(self, viewer: Viewer) -> None:
        """Takes a viewer that has shown the token; the ninth is sent away."""
        if len(self._viewers) >= MOST_VIEWERS:
            viewer.say_goodbye(TOO_MANY, f"at most {MOST_VIEWERS} pages may watch")
            return
        self._deliver()  # so that the past ends where what follows begins
        self._viewers.append(viewer)
        viewer.greet(encode(self._hello()), list(self._notes), self.ring.end)
        self._send_health()
        self._schedule(BEAT_SECONDS)

    def leave(self, viewer: Viewer) -> None:
        """Forgets a viewer that disconnected."""
        if viewer in self._viewers:
            self._viewers.remove(viewer)

    def _hello(self) -> Hello:
        shown = self._shown
        return Hello(
            protocol=PROTOCOL,
            version=__version__,
            schema=EVENT_SCHEMA,
            mode="live" if self._stored is None else "view",
            input=shown.input,
            bundle=shown.bundle,
            backend=shown.backend,
            tick_hz=TICK_HZ,
            columns=COLUMNS,
            statuses=statuses(),
            capacity=self.ring.capacity,
            limits=dict(shown.limits),
            smoothing=dict(shown.smoothing),
            images=self._images,
            crop_margin=self._spec.crop_margin,
            labels=CIRCUMPLEX_LABELS,
        )

    def _beat(self) -> None:
        try:
            self._deliver()
            self._beats += 1
            if self._viewers and self._beats % BEATS_PER_HEALTH == 0:
                self._send_health()
            frame, self._frame = self._frame, None
            if frame is not None and self._viewers and self._thumbnails is not None:
                self._thumbnails.offer(frame, self._faces)
        finally:
            self._schedule(BEAT_SECONDS if self._viewers else IDLE_SECONDS)

    def _schedule(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._listener.loop.call_later(seconds, self._beat)

    def _deliver(self) -> None:
        """Sends the ticks and status events that came since the last time."""
        first = self.ring.end
        rows, age_ms = self._drain()
        if rows and self._viewers:
            data = encode(Ticks(first, rows, age_ms, self._frame_size))
            for viewer in list(self._viewers):
                viewer.offer_ticks(len(rows), data)
        while self._happened:
            data = encode(StatusNote(self._newest_pts_ns, plain(self._happened.popleft().to_dict())))
            self._notes.append(data)
            for viewer in list(self._viewers):
                viewer.offer_note(data)

    def _drain(self) -> tuple[list[list[float | None]], float | None]:
        """Returns the rows that came since the last time, now in the ring, and the age of the newest."""
        rows, age_ms = [], None
        while self._events:
            event, delivered_ns = self._events.popleft()
            rows.append(self.ring.append(event))
            waited_ms = (time.monotonic_ns() - delivered_ns) / 1e6
            age_ms = None if event.latency_ms is None else round(event.latency_ms + waited_ms, 1)
            if event.pts_ns != self._newest_pts_ns:
                self._faces.clear()
            if event.face is not None:
                self._faces.append(event.face)
            self._newest_pts_ns = event.pts_ns
        return rows, age_ms

    def _send_health(self) -> None:
        try:
            status = plain(self._status())
        except (ReferenceError, EdgeaffError):  # the runtime is gone
            return
        data = encode(HealthNote(status, len(self._viewers), self.images_sent))
        for viewer in list(self._viewers):
            viewer.offer_health(data)

    def _post_images(self, images: list[bytes]) -> None:
        try:
            self._listener.loop.call_soon_threadsafe(self._send_images, images)
        except RuntimeError:  # closed
            return

    def _send_images(self, images: list[bytes]) -> None:
        for viewer in list(self._viewers):
            self.images_sent += len(images)
            viewer.offer_images(list(images))

    def _look_after_viewers(self) -> None:
        period = self._listener.limits.stall_seconds / 4
        for viewer in list(self._viewers):
            viewer.look(period)
        self._listener.loop.call_later(period, self._look_after_viewers)


def _policy(host: str) -> str:
    """Returns the content security policy of the page. host: as the browser names us; the guard has judged it."""
    return (
        f"default-src 'self'; connect-src 'self' ws://{host} wss://{host}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; object-src 'none'"
    )
