"""docs/paper_map.md against the code: every `Choice:` has a row that names its file, every file that is named is there."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"\bChoice\b`?(?::|, where\b| where\b| for\b)")
PATHS = re.compile(r"`([\w./*]+\.(?:py|h|cc|cu|md|toml))`")


def marks():
    """Returns file -> how many choices it states; files of edgeaff/ without that prefix, as the tables have them."""
    found = {}
    for folder in ("edgeaff", "recipes", "csrc"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".h", ".cc", ".cu"} and (count := len(MARK.findall(path.read_text()))):
                found[path.relative_to(ROOT).as_posix().removeprefix("edgeaff/")] = count
    return found


def rows():
    """Returns the cells of every row of a table of choices."""
    text = (ROOT / "docs" / "paper_map.md").read_text()
    lines = text[text.index("## Choices") :].splitlines()
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line.startswith("| ")]
    return [row for row in cells if row[0] != "question"]


def named():
    return Counter(path for row in rows() for path in set(PATHS.findall(row[-1])))


def test_a_mark_is_found_in_every_form_in_which_it_is_written():
    for text in ("Choice: a", "`Choice:` a", "Choice, where the paper is silent: a", "Choice where it is silent: a"):
        assert MARK.search(text), text
    assert not MARK.search("from edgeaff.backend_choice import Choice, check") and not MARK.search("Choice(")


@pytest.mark.parametrize("path", [path for path in marks() if path != "backend_choice.py"])
def test_every_choice_has_a_row(path):
    assert named()[path] >= marks()[path], f"{path} states {marks()[path]} choices, paper_map.md has {named()[path]}"


def test_every_row_is_whole_and_its_files_are_there():
    for row in rows():
        assert len(row) == 4 and all((row[0], row[1], row[3])), row
        paths = PATHS.findall(row[3])
        assert paths, row
        for path in paths:
            assert (ROOT / path).is_file() or (ROOT / "edgeaff" / path).is_file(), path


def test_files_of_the_first_table_are_there():
    text = (ROOT / "docs" / "paper_map.md").read_text()
    for path in re.findall(r"`(edgeaff/[\w./*]+|csrc/[\w./]+)`", text):
        assert list(ROOT.glob(path.rstrip("/"))), path
