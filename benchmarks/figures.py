"""Keeps the figures of README and docs equal to benchmarks/results/*.json: `make readme-figures` writes them, a test compares.

docs/figures.toml holds, per page, where each figure stands and where it comes from; the pages hold no addresses:

```
["README.md"]
sources = ["faces"]                                   # results whose numbers the page may state anywhere
numbers = [{ before = "edgeaff takes ", after = " times less", value = "latency:ratios[peer=torch_naive].cpu @.0f" }]
tables.speed = { rows = "latency:pipelines[mode=camera]", columns = ["engine={engine}", "CPU ms a tick={cpu_ms:.2f}"] }
```
A number is the text between `before` and `after`, which together occur once; numbers within `before` may change. A table stands
between `<!--rows:ID-->` and `<!--/rows-->`, a row per object.

A path is FILE:key.key[name=value,name=other/value].key.0 over the file's JSON; a selector keeps the objects of a list (or the values of
an object, whose key then is "key") with those values. After `@` follows a format of Python, `*100:.0f` scales before it.
Column templates are format strings over a row. Truth values are written as yes and no, `{key:/0}` is the part of a text before its
first slash, and texts that `[names]` lists are written as it states: tables hold no internal ids.

Every other number that looks measured (a decimal, one with a unit, one in thousands or with an exponent) must be traceable
too: `untraced` finds those that are neither a figure, nor in a JSON among `sources`, nor stated as a constant in
benchmarks/stated_numbers.json.
"""

from __future__ import annotations

import argparse
import json
import re
import string
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeaff.errors import ArgumentError
from edgeaff.parsing.toml_text import read_toml

Results = dict[str, Any]
_ROWS_MARK = re.compile(r"(?P<head><!--rows:(?P<id>[\w-]+)-->\n).*?(?P<tail><!--/rows-->)", re.S)
_STEP = re.compile(r"\.?(?P<key>[^.\[\]]+)|\[(?P<selector>[^\]]*)\]")
_UNITS = (
    r"ms|µs|us|ns|fps|ticks/s|(?:(?:ticks|frames|images|times) )?(?:a|per) second|GFLOP/s|MB/s|GB/s|MB|MiB|kB|KiB|KB|GB|GiB"
    r"|%|per ?cent|times|x(?! ?\d)|×|-fold|s|seconds|min|minutes|h|hours|kHz|Hz|W|ppm|dB|px"
    r"|parameters|multiply-accumulates|bytes|MMAC|GMAC"
)
_BEGIN = r"(?<![\w.,/])(?<![A-Za-z]-)"  # a minus belongs to the number, a hyphen after a letter to a name
_NUMBER = r"\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
_UNIT = rf"(?:{_UNITS})(?![\w-])"
_MEASURED = re.compile(
    rf"{_BEGIN}(?P<number>{_NUMBER})(?:\s?(?P<unit>{_UNIT})|(?=(?:(?: to | and | or |, | / |-){_NUMBER})+\s?(?P<shared>{_UNIT})))"
    rf"|(?<![\w.,])(?<![A-Za-z]-)(?P<bare>\d+\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+|\d{{1,3}}(?:,\d{{3}})+)(?!\w|\.\d)"
)
_NOT_PROSE = (
    re.compile(r"^```.*?^```", re.S | re.M),
    re.compile(r"`[^`\n]*`"),
    re.compile(r"\]\([^)\s]*\)"),
    re.compile(r"https?://\S+"),
    re.compile(r"<!--rows:.*?<!--/rows-->", re.S),
    re.compile(r"<!--.*?-->", re.S),
    re.compile(
        r"(?:section|sections|eq\.|figure|[Tt]able|Python|version|Apache|CC BY|ODbL|DbCL|MIT|OpenCV|CUDA|TensorRT|JetPack)[- ]"
        r"\d+(?:\.\d+)*(?:(?:, | and | to )\d+(?:\.\d+)*)*"
    ),
)


def load_results(folder: Path) -> Results:
    """Returns every JSON file of a folder by its name without ending."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


# --- where figures stand --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One number of a page: the text between `before` and `after`. path, form: of the value that it states."""

    before: str
    after: str
    path: str
    form: str

    def pattern(self) -> re.Pattern[str]:
        """Returns the expression that finds the number; digits of other figures in `before` may have changed."""
        before = re.sub(r"\d[\d.,]*", r"[\\d.,]+", re.escape(self.before).replace(r"\.", "."))
        return re.compile(rf"(?P<before>{before})(?P<number>\S(?:.*?\S)??)(?P<after>{re.escape(self.after)})", re.S)


@dataclass(frozen=True)
class PageFigures:
    """The figures of one page. sources: names of results; tables: id -> (path, column templates); names: id -> text in tables."""

    sources: tuple[str, ...] = ()
    numbers: tuple[Figure, ...] = ()
    tables: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def load_figures(path: Path) -> dict[str, PageFigures]:
    """Returns docs/figures.toml by page."""
    pages = read_toml(path)
    names = pages.pop("names", {})
    return {name: page_figures(page, names) for name, page in pages.items()}


def page_figures(page: dict[str, Any], names: dict[str, str] | None = None) -> PageFigures:
    """Returns the figures of one page of docs/figures.toml.

    Args:
        page: its table, as parsed.
        names: id -> the text that stands for it in tables.
    """
    numbers = []
    for entry in page.get("numbers", ()):
        value, _, form = entry["value"].rpartition("@")
        numbers.append(Figure(entry["before"], entry["after"], value.strip(), form))
    tables = {name: (table["rows"], tuple(table["columns"])) for name, table in page.get("tables", {}).items()}
    return PageFigures(tuple(page.get("sources", ())), tuple(numbers), tables, names or {})


def render(text: str, results: Results, figures: PageFigures) -> str:
    """Returns a page with all its figures recomputed.

    Args:
        text: the page.
        results: of `load_results`.
        figures: of the page.

    Raises:
        ArgumentError: a figure has no place on the page or several, or points at nothing.
    """
    text = _ROWS_MARK.sub(lambda mark: _rows(mark, results, figures), text)
    for figure in figures.numbers:
        text = _fill(text, figure, _number(figure, results))
    return text


def _fill(text: str, figure: Figure, number: str) -> str:
    found = list(figure.pattern().finditer(text))
    if len(found) != 1:
        raise ArgumentError(
            f"a figure must have one place on its page, got {len(found)} between {figure.before!r} and {figure.after!r}; "
            "correct docs/figures.toml."
        )
    return text[: found[0].start("number")] + number + text[found[0].end("number") :]


def look_up(results: Results, path: str) -> Any:
    """Returns the value at a path; a list of objects where a selector is last or keeps several.

    Raises:
        ArgumentError: there is nothing.
    """
    name, _, rest = path.partition(":")
    if name not in results:
        raise ArgumentError(
            f"path must begin with one of {', '.join(results)}, got {path!r}; name a file of benchmarks/results."
        )
    node = results[name]
    for step in _STEP.finditer(rest):
        if step["selector"] is not None:
            node = _select(node, step["selector"])
        elif isinstance(node, list) and step["key"].isdigit():
            node = node[int(step["key"])] if int(step["key"]) < len(node) else None
        elif isinstance(node, list):
            if len(node) != 1:
                raise ArgumentError(
                    f"path must select one object before .{step['key']}, got {len(node)} in {path!r}; narrow it."
                )
            node = node[0].get(step["key"])
        else:
            node = node.get(step["key"]) if isinstance(node, dict) else None
        if node is None or node == []:
            raise ArgumentError(
                f"path must lead to a value, got nothing at {step.group()!r} of {path!r}; see the file."
            )
    return node


def _select(node: Any, selector: str) -> list[dict[str, Any]]:
    rows = [{"key": key, **value} for key, value in node.items()] if isinstance(node, dict) else node
    for condition in filter(None, selector.split(",")):
        key, _, values = condition.partition("=")
        rows = [row for row in rows if str(row.get(key.strip())) in values.split("/")]
    return list(rows)


def _number(figure: Figure, results: Results) -> str:
    value = look_up(results, figure.path)
    if isinstance(value, list):
        raise ArgumentError(
            f"a number's path must lead to one value, got {len(value)} objects at {figure.path!r}; add a key."
        )
    return format_value(value, figure.form)


def format_value(value: Any, form: str) -> str:
    """Returns a value in a format of Python, after scaling where the format begins with "*FACTOR:"."""
    if form.startswith("*"):
        factor, _, form = form[1:].partition(":")
        value = value * float(factor)
    return format(value, form)


def _rows(mark: re.Match[str], results: Results, figures: PageFigures) -> str:
    if mark["id"] not in figures.tables:
        raise ArgumentError(f"a table must be described in docs/figures.toml, got {mark['id']!r}; add it there.")
    path, templates = figures.tables[mark["id"]]
    columns = [column.partition("=")[::2] for column in templates]
    found = look_up(results, path)
    lines = [f"| {' | '.join(title.strip() for title, _ in columns)} |", f"|{'---|' * len(columns)}"]
    for row in found if isinstance(found, list) else _select(found, ""):
        cells = (_cell(template.strip(), row, figures.names) for _, template in columns)
        lines.append(f"| {' | '.join(cells)} |")
    return mark["head"] + "\n".join(lines) + "\n" + mark["tail"]


class _CellFormatter(string.Formatter):
    """Formats cells for readers: yes and no, names in place of ids, parts of a text with slashes."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def format_field(self, value: Any, format_spec: str) -> str:
        """Returns one field as text."""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, str):
            if format_spec.startswith("/"):
                value, format_spec = value.split("/")[int(format_spec[1:])], ""
            value = self._names.get(value, value)
        return str(super().format_field(value, format_spec))


def _cell(template: str, row: dict[str, Any], names: dict[str, str]) -> str:
    """Returns one cell; a dash where the row lacks a value."""
    try:
        return _CellFormatter(names).vformat(template, (), row)
    except (KeyError, TypeError, ValueError):
        return "-"


# --- other numbers ----------------------------------------------------------------------------------------------------------


def untraced(
    page: str, text: str, results: Results, stated: dict[str, dict[str, str]], figures: PageFigures
) -> list[str]:
    """Returns the measured-looking numbers of a page that have no source.

    Args:
        page: its path from the project's root, with slashes.
        text: the page.
        results: of `load_results`.
        stated: page, or "*" for all, -> number as written -> where it was decided.
        figures: of the page.
    """
    known = {**stated.get("*", {}), **stated.get(page, {})}
    values = [value for name in figures.sources for value in _leaves(results[name])]
    text = without_figures(text, figures.numbers)
    return [number for number in measured_numbers(text) if number not in known and not _is_among(number, values)]


def without_figures(text: str, figures: Sequence[Figure]) -> str:
    """Returns a page with its figures blanked, so that only other numbers are left."""
    spans = [match.span("number") for figure in figures for match in figure.pattern().finditer(text)]
    for start, end in sorted(spans, reverse=True):
        unit = re.match(rf"\s?{_UNIT}", text[end:])
        text = text[:start] + " " + text[end + (unit.end() if unit else 0) :]
    return text


def measured_numbers(text: str) -> list[str]:
    """Returns the numbers of a page's prose and tables that look measured, with their unit, in order."""
    for pattern in _NOT_PROSE:
        text = pattern.sub(" ", text)
    found = []
    for match in _MEASURED.finditer(text):
        found.append(match["bare"] or f"{match['number']} {match['unit'] or match['shared']}")
    return found


def _leaves(node: Any) -> Iterator[float]:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _leaves(item)
    elif isinstance(node, (int, float)) and not isinstance(node, bool):
        yield abs(float(node))


def _is_among(written: str, values: list[float]) -> bool:
    """Returns whether a value, rounded as written, is this number; also as per cent, or a thousand times up or down."""
    number = written.split()[0].replace(",", "")
    decimals = len(number.partition(".")[2])
    target, tolerance = float(number), 0.5000001 * 10.0**-decimals
    return any(abs(value * scale - target) <= tolerance for value in values for scale in _scales(written))


def _scales(written: str) -> tuple[float, ...]:
    unit = written.partition(" ")[2]
    if unit in ("%", "per cent"):
        return (1.0, 100.0)
    return (1.0, 1e-3, 1e3) if unit else (1.0,)


def pages(root: Path) -> list[Path]:
    """Returns README, CONTRIBUTING and every page of docs of a source folder."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]


ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Returns 1 where a page is out of date (--check) or a number is not traceable."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--json", type=Path, help="write the pages, and what is wrong on them, here")
    options = parser.parse_args()
    check = options.check
    results = load_results(ROOT / "benchmarks" / "results")
    stated = json.loads((ROOT / "benchmarks" / "stated_numbers.json").read_text(encoding="utf-8"))
    figures = load_figures(ROOT / "docs" / "figures.toml")
    faults = []
    for path in pages(ROOT):
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        of_page = figures.get(name, PageFigures())
        made = render(text, results, of_page)
        if made != text and check:
            faults.append(f"{name}: figures differ from benchmarks/results; run `make readme-figures`")
        elif made != text:
            path.write_text(made, encoding="utf-8")
        faults += [f"{name}: {number!r} stands in no JSON" for number in untraced(name, made, results, stated, of_page)]
    if options.json is not None:
        looked_at = [path.relative_to(ROOT).as_posix() for path in pages(ROOT)]
        options.json.write_text(json.dumps({"pages": looked_at, "faults": faults}, indent=1) + "\n", encoding="utf-8")
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
