"""A small HTTP server on request: health and counters for Prometheus and browsers. Bound to the loopback by default.

`GET /metrics` gives the Prometheus text format, `GET /status` JSON, `GET /healthz` 200 or 503.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeaff.closing import Closing
from edgeaff.listen.address import Access
from edgeaff.listen.messages import Request, Response, text_response
from edgeaff.listen.metrics import metrics_text, status_json
from edgeaff.listen.server import Limits, Listener

__all__ = ["StatusServer", "metrics_text"]


class StatusServer(Closing):
    """Serves a status that is computed at every request.

    Attributes:
        port: that it listens on.
        url: http[s]://host:port.
        notices: what should be known of its safety, one sentence each.
    """

    def __init__(
        self,
        status: Callable[[], Mapping[str, Any]],
        *,
        healthy: Callable[[], bool] = lambda: True,
        host: str = "127.0.0.1",
        port: int = 9477,
        access: Access | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Starts listening.

        Args:
            status: returns nested mappings of numbers, texts and None; called on the thread of the server.
            healthy: answers /healthz.
            host: address to listen on; the default is reachable from this machine only.
            port: port to listen on; 0 chooses a free one.
            access: who may come in, and with what encryption.
            limits: what clients may cost.

        Raises:
            ArgumentError: the address cannot be listened on.
        """
        self._status, self._healthy = status, healthy
        self._listener = Listener(self._respond, host=host, port=port, access=access, limits=limits, name="serve")
        self.host, self.port, self.url = self._listener.host, self._listener.port, self._listener.url
        self.notices = self._listener.notices

    def close(self) -> None:
        """Stops the server; may be called again."""
        self._listener.close()

    def _respond(self, request: Request) -> Response:
        found = status_answer(request.path, self._status, self._healthy)
        return found or text_response(404, "there are /metrics, /status and /healthz")


def status_answer(path: str, status: Callable[[], Mapping[str, Any]], healthy: Callable[[], bool]) -> Response | None:
    """Returns the answer to a request for a status; None where the path is another.

    Args:
        path: asked for.
        status: as for `StatusServer`.
        healthy: as for `StatusServer`.
    """
    if path == "/metrics":
        return Response(200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(status()).encode())
    if path == "/status":
        return Response(200, "application/json", status_json(status()).encode())
    if path == "/healthz":
        return text_response(200, "ok") if healthy() else text_response(503, "not healthy")
    return None
