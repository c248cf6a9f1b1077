"""`Guard`: decides whether a request may be answered, by exact lists of hosts and origins and an optional token.

A browser sends the page that asks as `Origin`, and the name under which it reached us as `Host`. A page of another site is
stopped by the first, a page whose own name was pointed at our address (DNS rebinding) by the second.
"""

from __future__ import annotations

import hmac
import re
import socket
from collections.abc import Collection

from edgeaff.errors import ArgumentError
from edgeaff.listen.address import Access, is_loopback
from edgeaff.listen.messages import Request, Response, text_response

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_ORIGIN = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class Guard:
    """Judges requests.

    Args:
        host: that the server is bound to.
        access: who may come in.
        public: paths that need no token, such as those of a page without data.

    Raises:
        ArgumentError: a host or origin of `access` is not what browsers send.
    """

    def __init__(self, host: str, access: Access, *, public: Collection[str] = ()) -> None:
        for name in access.hosts:
            if _HOST.fullmatch(name) is None or ":" in name.rpartition("]")[2]:
                raise ArgumentError(
                    f"host must be a name or address without a port, got {name!r}; write for example host=kiosk.lan."
                )
        for origin in access.origins:
            if _ORIGIN.fullmatch(origin) is None:
                raise ArgumentError(
                    f"origin must be scheme://host[:port], got {origin!r}; write for example origin=https://dash.example."
                )
        self._scheme = "https" if access.is_encrypted else "http"
        self._public = frozenset(public)
        self._token = None if access.token is None else access.token.encode()
        self._origins = frozenset(origin.lower() for origin in access.origins)
        names = {*_THIS_MACHINE, host.lower(), *(name.strip("[]").lower() for name in access.hosts)}
        self._is_local = is_loopback(host)
        if not self._is_local:
            machine = socket.gethostname().lower()
            names |= {machine, f"{machine}.local"}
        self._hosts = frozenset(names - {"", "0.0.0.0", "::"})

    def refusal(self, request: Request, local_address: str) -> Response | None:
        """Returns the answer to a request that may not be answered otherwise; None where it may.

        A WebSocket may show its token in the request, or as its first message: see `shows_token`.

        Args:
            request: what was asked.
            local_address: of the connection, on our side.
        """
        host = request.headers.get("host", "")
        if not self._is_ours(host, local_address):
            return text_response(
                403, "Host must be a name of this server; add others with host=NAME where it is started"
            )
        origin = request.headers.get("origin")
        if (
            origin is not None
            and origin.lower() not in self._origins
            and origin.lower() != f"{self._scheme}://{host.lower()}"
        ):
            return text_response(
                403, "Origin must be this server's own; add others with origin=URL where it is started"
            )
        if origin is None and _is_foreign_page(request):
            return text_response(403, "pages of other sites must not load this")
        is_free = request.is_upgrade or request.path in self._public
        if self._token is not None and not is_free and not self.shows_token(request):
            return text_response(
                401, "this needs the header Authorization: Bearer TOKEN, or ?token=TOKEN", WWW_Authenticate="Bearer"
            )
        return None

    @property
    def asks_for_token(self) -> bool:
        """True if clients must send one."""
        return self._token is not None

    def shows_token(self, request: Request) -> bool:
        """Returns whether a request shows the right token; always where none is requested."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.is_token(token.strip().encode("latin-1"))
        return self.is_token(request.query.get("token", "").encode("utf-8", "replace"))

    def is_token(self, shown: bytes) -> bool:
        """Returns whether that is the token, in a time that does not depend on how much of it is right."""
        return self._token is None or hmac.compare_digest(shown, self._token)

    def _is_ours(self, host: str, local_address: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]").lower()
        return name in self._hosts or (
            not self._is_local and name == local_address.split("%")[0].removeprefix("::ffff:").lower()
        )


def _is_foreign_page(request: Request) -> bool:
    """Returns whether a browser states that another site's page loads this (images, scripts: they send no Origin)."""
    return request.headers.get("sec-fetch-site", "none") in ("cross-site", "same-site") and (
        request.headers.get("sec-fetch-mode") != "navigate" or request.headers.get("sec-fetch-dest") != "document"
    )
