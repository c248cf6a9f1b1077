"""A subset of HTTP/1.1 for small servers: one request without a body, one answer, then the connection ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,4096}) HTTP/1\.[01]")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_MAX_FIELDS = 100
_SECURITY = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'none'"),
    ("Connection", "close"),
)  # headers of a Response take precedence


class BadRequest(Exception):
    """A request that is answered with an error. status: the code of that answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request.

    Attributes:
        method: upper case.
        path: without the query.
        query: the first value of each option in it.
        headers: names in lower case; a header that came several times is joined by ", ".
        raw: the bytes it was read from.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes

    @property
    def is_upgrade(self) -> bool:
        """True if it requests a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. kind: its Content-Type; headers: further ones."""

    status: int
    kind: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, *, with_body: bool = True) -> bytes:
        """Returns the bytes of head and body. with_body: False for HEAD."""
        stated = {"Content-Type": self.kind, "Content-Length": str(len(self.body)), **self.headers}
        names = {name.lower() for name in stated}
        every = [*stated.items(), *((name, value) for name, value in _SECURITY if name.lower() not in names)]
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            *(f"{name}: {value}" for name, value in every),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (self.body if with_body else b"")


def text_response(status: int, text: str, **headers: str) -> Response:
    """Returns an answer of one line of plain text.

    Args:
        status: its code.
        text: without a newline.
        headers: further ones, underscores for dashes.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, "text/plain; charset=utf-8", f"{text}\n".encode(), named)


def parse_head(head: bytes) -> Request:
    """Returns the request.

    Args:
        head: everything up to the empty line, and that.

    Raises:
        BadRequest: it is no request that we answer.
    """
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise BadRequest(400, "the request line must be METHOD /path HTTP/1.1")
    if len(lines) > _MAX_FIELDS:
        raise BadRequest(431, f"a request must have at most {_MAX_FIELDS} header fields")
    headers: dict[str, str] = {}
    for line in lines:
        named = _FIELD.fullmatch(line)
        if named is None:
            raise BadRequest(400, "every header field must be NAME: VALUE on one line")
        name, value = named[1].decode("ascii").lower(), named[2].decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise BadRequest(413, "a request must have no body")
    target = match[2].decode("latin-1")
    if not target.startswith("/"):
        raise BadRequest(400, "the request must name a path, not another server")
    path, _, query = target.partition("?")
    options: dict[str, str] = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        options.setdefault(option, value)
    return Request(match[1].decode("ascii"), path, options, headers, head)
