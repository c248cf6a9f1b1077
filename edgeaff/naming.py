"""The public name of a source or sink: its URI without credentials.

Every message, metric, status, thread name and log names a source or sink by `public_name`. Text that others wrote, such as
the error of a driver, goes through `without_secrets`.
"""

from __future__ import annotations

import os
import re

HIDDEN = "***"

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")
_PLAIN_HEAD = re.compile(r"\s*(?:(?:camera|mic|file|paced|replay):)?[A-Za-z][A-Za-z0-9+.-]*")
_HARMLESS = frozenset(
    (
        "audio",
        "buffer_size",
        "channel",
        "codec",
        "device",
        "fifo_size",
        "format",
        "fps",
        "height",
        "host",
        "keep",
        "latency",
        "localport",
        "max_mb",
        "mode",
        "origin",
        "overrun_nonfatal",
        "pkt_size",
        "profile",
        "qos",
        "rate",
        "size",
        "stream",
        "subtype",
        "loop",
        "speed",
        "timeout",
        "transport",
        "ttl",
        "video",
        "width",
    )
)  # options whose values are shown; any other value of a URI may be a secret
# A name begins where no word does before it: without that, a long word would be searched from each of its letters.
_NAMED = re.compile(r"(?<![\w.-])([\w.-]+)\s*=\s*")
_PATH_VALUE_END = re.compile(r"[&;]|\Z")
_TEXT_VALUE_END = re.compile(r"[&;\s'\"]|\Z")
_SECRET = re.compile("pass|pwd|pw|token|key|secret|auth|sig|cred|session|jwt|login|user", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_GST_TOKEN = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+""", re.DOTALL)
_GST_ELEMENT = re.compile(r"[A-Za-z0-9_./-]+")
_GST_HARMLESS = frozenset(("device", "sensor-id", "sensor_id", "camera-name"))
_URI_IN_TEXT = re.compile(r"(?<![A-Za-z0-9+.-])[0-9+.-]*[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")


def public_name(source: object) -> str:
    """Returns the name of a source or sink without user, password, token and control characters.

    Where a malformed URI leaves open what is secret, all of the doubtful part is hidden: everything before the last @, the
    value of every option that is not known to be harmless, every property of a GStreamer pipeline but the device's.

    Args:
        source: path or URI; of any other object its attribute `name`, else the name of its class. A number is its own name.
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        text = os.fsdecode(source)
    elif source is None or isinstance(source, (bool, int, float)):
        return repr(source)
    else:
        text = str(getattr(source, "name", type(source).__name__))
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", _hidden(text))


def without_secrets(text: str, source: object = None) -> str:
    """Returns a text with every URI in it replaced by its public name, and every `password=...` hidden.

    Args:
        text: any, for example the message of another library's error.
        source: the URI that it is about, where that is known.
    """
    if isinstance(source, str) and source:
        text = text.replace(source, public_name(source))
    return _without_values(_URI_IN_TEXT.sub(lambda match: _hidden(match[0]), text), _TEXT_VALUE_END)


def _without_values(text: str, value_end: re.Pattern[str]) -> str:
    """Returns a text with the value of every name that may mean a secret hidden: `password=...`."""
    shown, position = "", 0
    for match in _NAMED.finditer(text):
        if match.start() < position or _SECRET.search(match[1]) is None:
            continue
        end = value_end.search(text, match.end())
        if end is not None and end.start() > match.end():
            shown += text[position : match.end()] + HIDDEN
            position = end.start()
    return shown + text[position:]


def _hidden(text: str) -> str:
    scheme = _SCHEME.match(text)
    if scheme is not None and scheme[1].lower() == "gst":
        return "gst:" + _pipeline(text[scheme.end() :])
    head, separator, rest = text.partition("://")
    if separator:
        return f"{head if _PLAIN_HEAD.fullmatch(head) else HIDDEN}://{_address(rest)}"
    if _is_file(text):
        return text
    at = text.rfind("@")
    if at >= 0 and ":" in text[:at]:  # rtsp:/user:password@host, user:password@host
        known = f"{scheme[1]}:" if scheme is not None and text[scheme.end() : scheme.end() + 1] == "/" else ""
        return f"{known}{HIDDEN}@{_options(text[at + 1 :])}"
    return _options(text)


def _is_file(text: str) -> bool:
    try:
        return os.path.exists(text)
    except ValueError:  # a NUL in it
        return False


def _address(rest: str) -> str:
    """Returns the text after `://`."""
    at, question = rest.rfind("@"), rest.find("?")
    if 0 <= question < at:
        return HIDDEN  # a question mark in a password, or an @ in an option
    if at >= 0:
        return f"{HIDDEN if at else ''}@{_options(rest[at + 1 :])}"
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if re.fullmatch(r"(\[[^\]]*\]|[^:]*)(:\d*)?", authority) is None:  # user:password, and the @ is missing or escaped
        return HIDDEN + _options(rest[len(authority) :])
    return _options(rest)


def _options(text: str) -> str:
    """Returns a host and path, or a path, with the values of the options behind it hidden, except for the harmless ones."""
    text, hash_sign, _ = text.partition("#") if "?" in text else (text, "", "")
    path, question, query = text.partition("?")
    path = _without_values(path, _PATH_VALUE_END)
    if not question:
        return path
    pairs = []
    for pair in re.split("[&;]", query):
        name, equals, value = pair.partition("=")
        shown = equals and name.lower() in _HARMLESS
        pairs.append(f"{name}={value if shown else HIDDEN}" if equals else HIDDEN)
    return f"{path}?{'&'.join(pairs)}" + (f"#{HIDDEN}" if hash_sign else "")


def _pipeline(text: str) -> str:
    """Returns the elements of a GStreamer pipeline, of their properties only which device is meant."""
    if _GST_TOKEN.sub("", text).strip():  # a quote that is not closed: where a value ends cannot be known
        return HIDDEN
    shown: list[str] = []
    first = True
    for token in _GST_TOKEN.findall(text):
        name, equals, value = token.partition("=")
        if token == "!":
            shown.append(token)
        elif first and (element := _GST_ELEMENT.match(token)) is not None:
            shown.append(element[0])
        elif equals and name in _GST_HARMLESS and "@" not in value:
            shown.append(token)
        elif shown[-1:] != [HIDDEN]:
            shown.append(HIDDEN)
        first = token == "!"
    return " ".join(shown)
