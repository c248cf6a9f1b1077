"""Clients for tests of servers: raw requests, and crowds that misbehave."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time


def ask(
    port: int,
    *lines: str,
    path: str = "/status",
    method: str = "GET",
    host: str | None = "127.0.0.1",
    timeout: float = 5.0,
) -> bytes:
    """Returns everything a server states to one request. lines: header fields."""
    named = [] if host is None else [f"Host: {host}"]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *named, *lines, "", ""])
    return talk(port, head.encode("latin-1"), timeout=timeout)


def talk(port: int, data: bytes, *, timeout: float = 5.0) -> bytes:
    """Returns everything a server states to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while got := connection.recv(65536):
                answer += got
        return answer


class Crowd:
    """Many clients on one thread that connect, send `data` one byte at a time, never read, and come again when they are cut off."""

    def __init__(self, port: int, count: int, data: bytes, *, period: float = 0.05) -> None:
        self.port, self.count, self.data, self.period = port, count, data, period
        self.connects = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="crowd", daemon=True)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def _work(self) -> None:
        open_now: dict[socket.socket, int] = {}
        with selectors.DefaultSelector() as lost:
            while not self._stop.is_set():
                for _ in range(min(50, self.count - len(open_now))):
                    client = socket.socket()
                    client.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        client.connect(("127.0.0.1", self.port))
                    open_now[client] = 0
                    lost.register(client, selectors.EVENT_READ)
                    self.connects += 1
                for key, _ in lost.select(0):
                    self._drop(open_now, lost, key.fileobj)
                for client, sent in list(open_now.items()):
                    try:
                        client.send(self.data[sent : sent + 1])
                        open_now[client] = min(sent + 1, len(self.data) - 1)
                    except BlockingIOError:
                        continue
                    except OSError:
                        self._drop(open_now, lost, client)
                time.sleep(self.period)
            for client in list(open_now):
                self._drop(open_now, lost, client)

    @staticmethod
    def _drop(open_now: dict[socket.socket, int], lost: selectors.BaseSelector, client: socket.socket) -> None:
        if client in open_now:
            del open_now[client]
            lost.unregister(client)
            client.close()
