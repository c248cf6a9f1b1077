"""Address and access rules of a server, parsed from text: `[http[s]://][host:]port[?option=value&...]`.

| option | meaning |
|---|---|
| `token`, `token_file` | what a client must show: the text itself, or a file that holds it |
| `host` | a further name under which clients reach us (`Host` header); may be repeated |
| `origin` | a web page that may read, for example `https://dash.example`; may be repeated |
| `cert`, `key` | PEM files of certificate and private key: TLS |
| `ca` | PEM file of the authorities whose client certificates are required |
"""

from __future__ import annotations

import difflib
import ipaddress
import logging
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from edgeaff.errors import ArgumentError
from edgeaff.naming import public_name

LOOPBACK = "127.0.0.1"
_log = logging.getLogger(__name__)
_OPTIONS = ("token", "token_file", "host", "origin", "cert", "key", "ca")


@dataclass(frozen=True, slots=True)
class Access:
    """Access rules, beyond clients on this machine.

    Attributes:
        token: what a client must show; None asks for nothing.
        hosts: further names under which clients reach us, without ports.
        origins: web pages that may read, as browsers send them: scheme://host[:port].
        certificate: PEM file; with it the server speaks TLS.
        key: PEM file of its private key; None where it stands in the same file.
        client_ca: PEM file of the authorities whose client certificates are required; None asks for none.
    """

    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None

    def __post_init__(self) -> None:
        """Checks that nothing asked for is without effect.

        Raises:
            ArgumentError: the token is empty, or a key or client_ca stands without a certificate.
        """
        if self.token is not None and not self.token:
            raise ArgumentError(
                "token must not be empty, got ''; `python -c 'import secrets; print(secrets.token_urlsafe())'` makes one."
            )
        if self.certificate is None and (self.key is not None or self.client_ca is not None):
            raise ArgumentError("cert must be a PEM file where key or ca are given, got none; add cert=FILE.")

    @property
    def is_encrypted(self) -> bool:
        """True if the server uses TLS."""
        return self.certificate is not None

    def tls_context(self) -> ssl.SSLContext | None:
        """Returns the server's TLS context, None without TLS.

        Raises:
            ArgumentError: a file cannot be read, or certificate and key do not belong together.
        """
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key, password=lambda: b"")  # never ask on a terminal
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as error:  # SSLError is an OSError
            reason = getattr(error, "strerror", None) or str(error)
            raise ArgumentError(
                f"cert, key and ca must be PEM files that belong together, without a passphrase, got {self.certificate!r} "
                f"({reason}); check the files."
            ) from error
        return context


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches that address. host: a name or address; names other than localhost are not."""
    try:
        return ipaddress.ip_address(host.strip("[]").split("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def in_clear(what: str, host: str) -> str | None:
    """Returns the warning that something leaves this machine without encryption, None where it stays.

    Args:
        what: that leaves, for example "udp://host:5000: events".
        host: where it goes.
    """
    if is_loopback(host):
        return None
    return f"{what} leave this machine in clear; everybody on the way can read them."


def noted(*warnings: str | None) -> list[str]:
    """Returns the warnings that are some, after logging them."""
    given = [text for text in warnings if text is not None]
    for text in given:
        _log.warning("%s", text)
    return given


def parse_listen_address(address: Any, *, name: str = "serve") -> tuple[str, int, Access]:
    """Returns host, port and access; without a host the loopback.

    Args:
        address: text as the table of this module has it, or a port.
        name: of the argument, for messages.

    Raises:
        ArgumentError: it is none of these, an option is unknown, or a file cannot be read.
    """
    text = str(address) if isinstance(address, int) and not isinstance(address, bool) else address
    place, _, query = text.partition("?") if isinstance(text, str) else ("", "", "")
    scheme, separator, rest = place.partition("://")
    host, _, port = (rest if separator else place).rstrip("/").rpartition(":")
    is_port = re.fullmatch("[0-9]{1,5}", port) is not None and int(port) <= 65_535
    if not is_port or "@" in host or (separator and scheme not in ("http", "https")):
        raise ArgumentError(
            f"{name} must be host:port or a port, got {public_name(address)!r}; pass for example '127.0.0.1:9477'."
        )
    access = parse_access(query, name=name)
    if scheme == "https" and not access.is_encrypted:
        raise ArgumentError(f"{name} must name its certificate for https, got none; add ?cert=FILE&key=FILE.")
    return host.strip("[]") or LOOPBACK, int(port), access


def parse_access(query: str, *, name: str) -> Access:
    """Returns the access that options behind a question mark describe.

    Args:
        query: without the question mark.
        name: of the argument, for messages.

    Raises:
        ArgumentError: an option is unknown, given twice, or its file cannot be read.
    """
    given: dict[str, list[str]] = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option not in _OPTIONS:
            close = difflib.get_close_matches(option, _OPTIONS, n=1)
            advice = f"did you mean {close[0]}?" if close else "leave it out."
            raise ArgumentError(f"options of {name} must be among {', '.join(_OPTIONS)}, got {option!r}; {advice}")
        given.setdefault(option, []).append(value)
    for option, values in given.items():
        if len(values) > 1 and option not in ("host", "origin"):
            raise ArgumentError(f"{option} must be given once in {name}, got it {len(values)} times; leave one out.")
    once = {option: values[0] for option, values in given.items()}
    if "token" in once and "token_file" in once:
        raise ArgumentError(f"{name} must have token or token_file, got both; leave one out.")
    return Access(
        token=_read_token(once["token_file"]) if "token_file" in once else once.get("token"),
        hosts=tuple(given.get("host", ())),
        origins=tuple(given.get("origin", ())),
        certificate=once.get("cert"),
        key=once.get("key"),
        client_ca=once.get("ca"),
    )


def _read_token(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ArgumentError(
            f"token_file must be a file that can be read, got {path!r} ({reason}); check it."
        ) from error
