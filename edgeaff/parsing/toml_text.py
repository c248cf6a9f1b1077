"""Bounded TOML: UTF-8 with or without a byte order mark, limits of size, line, count and depth."""

from __future__ import annotations

import os
import sys
from typing import Any

from edgeaff.parsing.boundary import Refused, read_bounded
from edgeaff.parsing.json_text import check_size

MOST_BYTES = 1 << 15
MOST_LINE = 2048  # a key of many parts costs the square of their number, and a key lies on one line
_MARK = b"\xef\xbb\xbf"


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the tables of a TOML file. A `boundary` belongs around it.

    Args:
        path: the file.

    Raises:
        Refused: a limit is broken, or the file is no TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    data = read_bounded(path, most_bytes=MOST_BYTES)
    try:
        text = data.removeprefix(_MARK).decode()
    except UnicodeDecodeError as error:
        raise Refused(f"text that is not UTF-8 ({error})") from None
    if any(len(line) > MOST_LINE for line in text.splitlines()):
        raise Refused(f"a line of more than {MOST_LINE} characters")
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise Refused("TOML that is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and int() of thousands of digits
        raise Refused(str(error)) from None
    check_size(values)
    return values
