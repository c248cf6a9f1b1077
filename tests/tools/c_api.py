"""Writes the reference of docs/c_api.md from the comments of edgeaff.h: `python tests/tools/c_api.py`; a test holds it to the header."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HEADER, PAGE = ROOT / "csrc" / "include" / "edgeaff.h", ROOT / "docs" / "c_api.md"
MARK = "<!-- from the header: python tests/tools/c_api.py -->\n"
_FUNCTION = re.compile(r"/\* (?P<text>(?:(?!\*/).)*) \*/\nEDGEAFF_API (?:EDGEAFF_CHECKED )?(?P<signature>[^;]*);", re.S)
_SECTION = re.compile(r"/\* --- (?P<title>[^.*]*)")
_STRUCT = re.compile(r"typedef struct (\w+) \{.*?\} \1;", re.S)


def reference(header: str) -> str:
    """Returns the reference as Markdown: functions by section with their comments, then enums and structs as they stand.

    Args:
        header: text of edgeaff.h.
    """
    parts, sections = [], [(found.start(), found["title"].strip()) for found in _SECTION.finditer(header)]
    for found in _FUNCTION.finditer(header):
        while sections and sections[0][0] < found.start():
            parts.append(f"\n### {sections.pop(0)[1].capitalize()}\n")
        signature, text = (re.sub(r"\s+", " ", found[name]).strip() for name in ("signature", "text"))
        parts.append(f"`{signature}`\n:   {text}\n")
    enums = "\n\n".join(found[0] for found in re.finditer(r"(?:/\*[^\n]*\*/\n)?enum \{.*?\};", header, re.S))
    structs = "\n\n".join(found[0] for found in _STRUCT.finditer(header))
    return "\n".join(parts) + f"\n### Constants\n\n```c\n{enums}\n```\n\n### Structs\n\n```c\n{structs}\n```\n"


def page_with_reference(page: str, header: str) -> str:
    """Returns the page with the reference of a header in place of the one it holds."""
    return page[: page.index(MARK) + len(MARK)] + reference(header)


if __name__ == "__main__":
    PAGE.write_text(
        page_with_reference(PAGE.read_text(encoding="utf-8"), HEADER.read_text(encoding="utf-8")), encoding="utf-8"
    )
