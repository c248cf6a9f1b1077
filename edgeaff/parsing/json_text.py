"""Strict, bounded JSON: no duplicate keys, no NaN, no infinities, integers of 64 bits, limits of size, count and depth."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from edgeaff.parsing.boundary import Refused, shown

MOST_DEPTH = 16
MOST_VALUES = 50_000
MOST_TEXT = 1 << 16  # characters of one string
_MOST_DIGITS = 20


def parse_json(data: bytes, *, most_bytes: int, most_values: int = MOST_VALUES) -> dict[str, Any]:
    """Returns the object of a JSON text.

    Args:
        data: UTF-8.
        most_bytes: longest text.
        most_values: most values in all, keys not counted.

    Raises:
        Refused: a limit is broken, or the text is not one JSON object.
    """
    if len(data) > most_bytes:
        raise Refused(f"JSON of {len(data)} bytes, more than {most_bytes}")
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
        )
    except RecursionError:
        raise Refused(f"JSON nested deeper than {MOST_DEPTH}") from None
    except json.JSONDecodeError as error:
        raise Refused(f"no JSON ({error})") from None
    except UnicodeDecodeError:
        raise Refused("text that is not UTF-8") from None
    if not isinstance(value, dict):
        raise Refused(f"JSON that is no object but {shown(value)}")
    check_size(value, most_values=most_values)
    return value


def check_size(value: Any, *, most_values: int = MOST_VALUES) -> None:
    """Checks depth, count, strings and numbers of a parsed JSON value.

    Args:
        value: objects, lists, strings, numbers, booleans, None.
        most_values: most values in all.

    Raises:
        Refused: a limit is broken.
    """
    for count, (item, depth) in enumerate(_walk(value), start=1):
        if count > most_values:
            raise Refused(f"more than {most_values} values")
        if depth > MOST_DEPTH:
            raise Refused(f"nesting deeper than {MOST_DEPTH}")
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise Refused(f"a number that is not finite ({item})")
        elif isinstance(item, int) and not -(1 << 63) <= item < 1 << 63:
            raise Refused("an integer that does not fit into 64 bits")
        elif isinstance(item, dict):
            for key in item:
                if not isinstance(key, str):
                    raise Refused(f"a key that is no text ({shown(key)})")
                _check_text(key)


def _walk(value: Any) -> Iterator[tuple[Any, int]]:
    """Yields every value and its depth, without recursion."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        yield item, depth
        if depth <= MOST_DEPTH and isinstance(item, (dict, list, tuple)):
            waiting.extend((inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item))


def _check_text(text: str) -> None:
    if len(text) > MOST_TEXT:
        raise Refused(f"a text of {len(text)} characters, more than {MOST_TEXT}")
    if text.isprintable():
        return
    for character in text:
        if (
            (character < " " and character not in "\n\t")
            or "\x7f" <= character < "\xa0"
            or "\ud800" <= character < "\ue000"
        ):
            raise Refused(f"a control character in {shown(text)}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Refused(f"key {shown(key)} twice in one object")
        found[key] = value
    return found


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS or not -(1 << 63) <= int(text) < 1 << 63:
        raise Refused(f"an integer of {len(text)} digits that does not fit into 64 bits")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Refused(f"a number that is not finite ({shown(text)})")
    return number


def _constant(text: str) -> float:
    raise Refused(f"a number that is not finite ({text})")
