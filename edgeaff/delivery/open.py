"""From a path or URI to a sink, and from a sequence of them to sinks.

| URI | sink |
|---|---|
| `session.eaffrec` | recording of the session |
| `events.jsonl`, `events.csv`, `events.vtt`, `events.parquet` | file, by its suffix |
| `udp://host:port` | UDP datagrams |
| `ws://host:port[?options]` | WebSocket server on that address; options: `edgeaff.listen.address` |
| `wss://host:port?cert=FILE&key=FILE` | the same with TLS |
| `mqtt://[user:password@]host[:port]/topic` | MQTT broker |
| `mqtts://...[?ca=FILE&cert=FILE&key=FILE]` | the same with TLS; without `ca` the authorities of the system are trusted |
| `lsl:NAME` | outlet of the Lab Streaming Layer |
| `osc://host:port[/prefix]` | Open Audio Control |

Options of a file follow a question mark: `events.jsonl?max_mb=100&keep=3&mode=640` (see `delivery.files.FileSink`).
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from edgeaff.delivery.arrow import ParquetSink
from edgeaff.delivery.files import CsvSink, JsonlSink
from edgeaff.delivery.queued import QueuedSink, Sink
from edgeaff.delivery.subtitles import WebVttSink
from edgeaff.errors import ArgumentError
from edgeaff.listen.address import parse_access
from edgeaff.naming import public_name
from edgeaff.recording.recorder import Recorder

RECORDING = ".eaffrec"
_MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}
_NETWORK = ("udp", "ws", "wss", "osc", *_MQTT_PORTS)
_SCHEMES = "udp://, ws://, wss://, mqtt://, mqtts://, osc://, lsl:"
_BY_SUFFIX: dict[str, Any] = {".jsonl": JsonlSink, ".csv": CsvSink, ".vtt": WebVttSink, ".parquet": ParquetSink}
_FILE_OPTIONS: dict[str, Callable[[str], Any]] = {"max_mb": float, "keep": int, "mode": lambda text: int(text, 8)}


def open_sink(uri: str | os.PathLike[str], *, live: bool = False, append: bool = True) -> Sink:
    """Opens what a path or URI names.

    Args:
        uri: see the table of this module.
        live: whether times are those of the monotonic clock: subtitles then begin at the first event.
        append: keep what is in a file (subtitles only of a live source); False for events that are those of one input.

    Returns:
        A sink with write(event) and close(); network sinks behind a QueuedSink.

    Raises:
        ArgumentError: the suffix, scheme or an option is unknown, or the address is incomplete.
        DeviceError: the disk is full.
    """
    text = os.fspath(uri)
    if text.startswith("lsl:"):
        from edgeaff.delivery.lsl import LslSink

        return QueuedSink(LslSink(text[len("lsl:") :] or "edgeaff", live=live), name=public_name(text))
    if "://" in text:
        return QueuedSink(_open_network(text), name=public_name(text))
    path, options = split_options(text)
    kind = _BY_SUFFIX.get(Path(path).suffix.lower())
    if kind is None:
        raise ArgumentError(
            f"output must end in {', '.join(_BY_SUFFIX)}, or be a URI ({_SCHEMES}), got {public_name(text)!r}; rename it."
        )
    if kind is ParquetSink:
        return ParquetSink(path, keep_previous=append, **_without_rotation(options))
    if kind is WebVttSink:
        return WebVttSink(path, origin_ns=None if live else 0, append=append and live, **options)
    return kind(path, append=append, **options)


def open_sinks(sinks: Any, opened: contextlib.ExitStack, *, live: bool) -> list[tuple[Sink, str | None]]:
    """Returns (sink, name for messages); what is a path or URI is opened, `*.eaffrec` as a Recorder.

    Args:
        sinks: sink objects, paths and URIs.
        opened: gets what was opened here, to close it where the runtime cannot be made.
        live: whether times are those of the monotonic clock.

    Raises:
        ArgumentError: sinks is no sequence, or one of them is neither a sink nor names one.
    """
    if isinstance(sinks, (str, os.PathLike)) or not isinstance(sinks, Sequence):
        raise ArgumentError(
            f"sinks must be a sequence of sinks and URIs, got {public_name(sinks)}; put it into brackets."
        )
    found: list[tuple[Sink, str | None]] = []
    for given in sinks:
        sink, name = given, None
        if isinstance(given, (str, os.PathLike)):
            name = public_name(given)
            sink = _open_recording(given, live=live) or open_sink(given, live=live, append=live)
            opened.callback(sink.close)
        elif not (callable(getattr(sink, "write", None)) and callable(getattr(sink, "close", None))):
            raise ArgumentError(
                f"sinks must have write(event) and close(), or be URIs, got {sink!r}; see edgeaff.delivery.open."
            )
        found.append((sink, name))
    return found


def _open_recording(given: str | os.PathLike[str], *, live: bool) -> Recorder | None:
    path, options = split_options(os.fspath(given))
    return Recorder(path, keep_previous=live, **options) if path.endswith(RECORDING) else None


def split_options(text: str) -> tuple[str, dict[str, Any]]:
    """Returns the path of a file and its options by name; a URI and any other path unchanged.

    Args:
        text: for example `events.jsonl?max_mb=100`.

    Raises:
        ArgumentError: an option is unknown or has no value of its kind.
    """
    path, question, query = text.rpartition("?")
    if "://" in text or not question or Path(path).suffix.lower() not in (*_BY_SUFFIX, RECORDING):
        return text, {}
    known = [name for name in _FILE_OPTIONS if name != "keep" or not path.endswith(RECORDING)]
    options: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {close[0]}?" if close else "leave it out."
            raise ArgumentError(f"options of a file must be among {', '.join(known)}, got {name!r}; {advice}")
        try:
            options[name] = _FILE_OPTIONS[name](value)
        except ValueError:
            raise ArgumentError(
                f"{name} must be a number, got {value!r}; write for example max_mb=100, keep=3 or mode=640."
            ) from None
    return path, options


def _without_rotation(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a file that has a footer and so cannot be rotated or continued.

    Raises:
        ArgumentError: a size limit is asked for.
    """
    if "max_mb" in options or "keep" in options:
        raise ArgumentError("max_mb and keep must not be set for a Parquet file, got both or one; leave them out.")
    return options


def _open_network(text: str) -> Sink:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ArgumentError(
            f"output must name a port between 0 and 65535, got {public_name(text)!r}; repair the port."
        ) from None  # the cause quotes the address
    if parts.scheme not in _NETWORK:
        raise ArgumentError(f"output must be a file or a URI ({_SCHEMES}), got {public_name(text)!r}; choose one.")
    if not parts.hostname or (port is None and parts.scheme not in _MQTT_PORTS):
        raise ArgumentError(
            f"output must be {parts.scheme}://host:port, got {public_name(text)!r}; add what is missing."
        )
    if parts.scheme in _MQTT_PORTS:
        return _open_mqtt(parts, port or _MQTT_PORTS[parts.scheme])
    if parts.scheme == "udp":
        from edgeaff.delivery.sockets import UdpSink

        _known_options(parts, ())
        return UdpSink(parts.hostname, port or 0)
    if parts.scheme == "osc":
        from edgeaff.delivery.osc import PREFIX, OscSink

        _known_options(parts, ())
        return OscSink(parts.hostname, port or 0, prefix=parts.path.strip("/") or PREFIX)
    access = parse_access(parts.query, name="output")
    if parts.scheme == "wss" and not access.is_encrypted:
        raise ArgumentError("output must name its certificate for wss, got none; add ?cert=FILE&key=FILE.")
    from edgeaff.delivery.sockets import WebSocketSink

    return WebSocketSink(parts.hostname, port or 0, access=access)


def _open_mqtt(parts: SplitResult, port: int) -> Sink:
    from edgeaff.delivery.mqtt import BrokerTls, MqttSink

    encrypted = parts.scheme == "mqtts"
    given = _known_options(parts, ("ca", "cert", "key") if encrypted else ())
    options: dict[str, Any] = {"topic": parts.path.strip("/")} if parts.path.strip("/") else {}
    return MqttSink(
        parts.hostname or "",
        port,
        login=(unquote(parts.username), unquote(parts.password) if parts.password else None)
        if parts.username
        else None,
        tls=BrokerTls(given.get("ca"), given.get("cert"), given.get("key")) if encrypted else None,
        **options,
    )


def _known_options(parts: SplitResult, known: Sequence[str]) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options:
        if name not in known:
            expected = f"among {', '.join(known)}" if known else "absent"
            raise ArgumentError(f"options of {parts.scheme}:// must be {expected}, got {name!r}; leave it out.")
    return options
