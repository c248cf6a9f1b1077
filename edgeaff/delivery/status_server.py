"""A small HTTP server on request: health and counters for Prometheus and for people. Bound to the loopback by default.

`GET /metrics` gives the Prometheus text format, `GET /status` JSON, `GET /healthz` 200 or 503.
"""

from __future__ import annotations

import http.server
import json
import math
import re
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from edgeaff.closing import Closing
from edgeaff.errors import ArgumentError

_NAME = re.compile(r"[^a-zA-Z0-9_]")


def metrics_text(status: Mapping[str, Any], *, prefix: str = "edgeaff") -> str:
    """Returns a status as Prometheus text: every number under its path, joined by underscores.

    Args:
        status: nested mappings of numbers, booleans, texts and None. A text becomes a label of value 1; None, NaN and
            infinity are left out.
        prefix: first part of all names.
    """
    lines: list[str] = []
    for name, value in status.items():
        key = _NAME.sub("_", f"{prefix}_{name}")
        if isinstance(value, Mapping):
            lines.append(metrics_text(value, prefix=key))
        elif isinstance(value, (bool, int, float)):
            if math.isfinite(value):
                number = value if isinstance(value, float) else int(value)
                lines.append(f"# TYPE {key} gauge\n{key} {number!r}\n")
        elif isinstance(value, str):
            text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            lines.append(f'# TYPE {key} gauge\n{key}{{value="{text}"}} 1\n')
    return "".join(lines)


class _Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


class StatusServer(Closing):
    """Serves a status that is asked for anew at every request.

    Attributes:
        port: that it listens on.
        url: http://host:port.
    """

    def __init__(
        self,
        status: Callable[[], Mapping[str, Any]],
        *,
        healthy: Callable[[], bool] = lambda: True,
        host: str = "127.0.0.1",
        port: int = 9477,
    ) -> None:
        """Starts listening.

        Args:
            status: returns nested mappings of numbers, texts and None; called on a thread of the server.
            healthy: answers /healthz.
            host: address to listen on; the default is reachable from this machine only.
            port: port to listen on; 0 chooses a free one.

        Raises:
            ArgumentError: the address cannot be listened on.
        """
        try:
            kind = _Server6 if ":" in host else http.server.ThreadingHTTPServer
            self._server = kind((host, port), _handler(status, healthy))
        except (OSError, OverflowError) as error:
            raise ArgumentError(
                f"host and port must be free to listen on, got {host}:{port} ({error}); choose another port."
            ) from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the server; may be called again."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)


def _handler(
    status: Callable[[], Mapping[str, Any]], healthy: Callable[[], bool]
) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 5.0  # a client that sends nothing does not hold a thread for ever

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(status()))
            elif path == "/status":
                self._answer(200, "application/json", json.dumps(status(), indent=2, default=str) + "\n")
            elif path == "/healthz":
                good = healthy()
                self._answer(200 if good else 503, "text/plain", "ok\n" if good else "not healthy\n")
            else:
                self._answer(404, "text/plain", "there are /metrics, /status and /healthz\n")

        def _answer(self, code: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Writes no access log."""

    return Handler
