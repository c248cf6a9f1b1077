"""A page for tests without a browser: it shows its token and reads messages."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import ClientConnection, connect

from edgeaff.live.server import LivePage, Shown
from edgeaff.live.viewer import Viewer


class Watcher:
    """One page."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.images = 0

    def next(self, kind: str | None = None, seconds: float = 5.0) -> dict[str, Any]:
        """Returns the next message, or the next of one kind; images are counted."""
        while True:
            data = self.connection.recv(timeout=seconds)
            if isinstance(data, bytes):
                self.images += 1
                length = int.from_bytes(data[:4], "little")
                message = {**json.loads(data[4 : 4 + length]), "jpeg": data[4 + length :]}
            else:
                message = json.loads(data)
            if kind in (None, message["type"]):
                return message


def page(stored=None, **options: Any) -> LivePage:
    return LivePage(
        "127.0.0.1:0", Shown(input="clip.mp4", bundle="b", **options.pop("shown", {})), stored=stored, **options
    )


@contextlib.contextmanager
def watching(server: LivePage, **options: Any) -> Iterator[Watcher]:
    address, _, token = server.url.partition("/#")
    with connect(f"ws{address.removeprefix('http')}/stream", **options) as connection:
        connection.send(json.dumps({"token": token}))
        yield Watcher(connection)


class Transport:
    """Takes what a stream writes; stands where asyncio's transport would."""

    def __init__(self) -> None:
        self.written = 0
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Heard(Viewer):
    """A viewer whose messages are kept in place of being sent."""

    def __init__(self, host: Any) -> None:  # no connection: nothing of WebSocket is used
        self.messages: list[Any] = []
        super().__init__(host, _Nothing(), Transport(), _Nothing())  # type: ignore[arg-type]
        self.is_trusted = True

    def _flush(self) -> None:
        pass

    def send_text(self, data: bytes) -> None:
        self.messages.append(json.loads(data))

    def send_binary(self, data: bytes) -> None:
        self.messages.append(data)


class _Nothing:
    """Answers every attribute and call with itself."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self

    def __float__(self) -> float:
        return 1.0
