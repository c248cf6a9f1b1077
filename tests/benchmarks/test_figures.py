"""Every number of README and docs stands in a JSON of benchmarks/results, or is a constant that somebody answers for."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import figures
from edgeaff.errors import ArgumentError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = {
    "latency": {
        "pipelines": [
            {"engine": "edgeaff", "mode": "back_to_back", "cpu_ms": 1.234, "fps": 810.4},
            {"engine": "torch_naive", "mode": "back_to_back", "cpu_ms": 210.0},
        ],
        "bars": {"rss_mib": {"bar": 250.0, "measured": 154.26}},
    }
}


@pytest.fixture(scope="module")
def results():
    """The committed results."""
    return figures.load_results(ROOT / "benchmarks" / "results")


FIGURES = figures.load_figures(ROOT / "docs" / "figures.toml")
NONE = figures.PageFigures()


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in figures.pages(ROOT)])
def test_figures_of_the_page_are_those_of_the_committed_results(page, results):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert figures.render(text, results, FIGURES.get(page, NONE)) == text, "run `make readme-figures`"


def test_every_page_of_the_list_is_there():
    assert {name for name in FIGURES if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in figures.pages(ROOT)])
def test_every_number_of_the_page_is_traceable(page, results):
    stated = json.loads((ROOT / "benchmarks" / "stated_numbers.json").read_text(encoding="utf-8"))
    text = (ROOT / page).read_text(encoding="utf-8")
    found = figures.untraced(page, text, results, stated, FIGURES.get(page, NONE))
    assert not found, (
        f"{page}: {found} stand in no JSON; describe them in docs/figures.toml, name their JSON there, or state a constant in "
        "benchmarks/stated_numbers.json"
    )


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in figures.pages(ROOT)])
def test_comments_are_a_small_part_of_the_raw_page(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert sum(len(comment) for comment in re.findall(r"<!--.*?-->", text, re.S)) <= 0.03 * len(text)


@pytest.mark.parametrize("name", ["faces", "kernels", "latency", "lld", "parity", "replay_overload", "several", "soak"])
def test_results_of_speed_say_machine_date_and_commit(name, results):
    assert results[name]["machine"]["processor"] and results[name]["run"]["date"] and results[name]["run"]["commit"]


def page(*numbers, sources=(), **tables):
    """The figures of a page as docs/figures.toml has them. numbers: (before, after, value)."""
    entries = [dict(zip(("before", "after", "value"), number, strict=True)) for number in numbers]
    return figures.page_figures({"numbers": entries, "sources": list(sources), "tables": tables})


def test_numbers_are_filled_and_scaled_between_their_neighbors():
    of_page = page(
        ("takes ", " ms", "latency:pipelines[engine=edgeaff,mode=back_to_back].cpu_ms @.2f"),
        ("9.99 ms and ", " MiB", "latency:bars.rss_mib.measured @*0.5:.1f"),
    )
    made = figures.render("takes 9.99 ms and ? MiB", RESULTS, of_page)
    assert made == "takes 1.23 ms and 77.1 MiB"
    assert figures.render(made, RESULTS, of_page) == made


def test_text_is_a_figure_too():
    of_page = page(("on ", ", the", "latency:pipelines[mode=back_to_back,cpu_ms=1.234].engine @s"))
    assert figures.render("on AMD (9), the", RESULTS, of_page) == "on edgeaff, the"


@pytest.mark.parametrize("text", ["takes ms", "takes 1 ms, takes 2 ms"])
def test_figure_without_one_place_is_an_error(text):
    with pytest.raises(ArgumentError, match="must have one place"):
        figures.render(text, RESULTS, page(("takes ", " ms", "latency:bars.rss_mib.bar @.0f")))


def test_row_marks_make_a_table_and_leave_a_dash_where_a_value_is_missing():
    of_page = page(
        speed={"rows": "latency:pipelines[mode=back_to_back]", "columns": ["engine={engine}", "rate={fps:.0f} fps"]}
    )
    made = figures.render("<!--rows:speed-->\nold\n<!--/rows-->", RESULTS, of_page)
    table = "| engine | rate |\n|---|---|\n| edgeaff | 810 fps |\n| torch_naive | - |"
    assert made == f"<!--rows:speed-->\n{table}\n<!--/rows-->"
    assert figures.render(made, RESULTS, of_page) == made
    with pytest.raises(ArgumentError, match="table must be described"):
        figures.render(made, RESULTS, NONE)


def test_rows_of_an_object_have_its_keys():
    of_page = page(bars={"rows": "latency:bars[]", "columns": ["bar={key}", "got={measured:.0f}"]})
    assert "| rss_mib | 154 |" in figures.render("<!--rows:bars-->\n<!--/rows-->", RESULTS, of_page)


@pytest.mark.parametrize(
    "path",
    ["speed:pipelines[].fps", "latency:pipelines[engine=none].fps", "latency:pipelines[].fps", "latency:pipelines[]"],
)
def test_paths_that_lead_nowhere_are_errors(path):
    with pytest.raises(ArgumentError, match="path must"):
        figures.render("takes 1 ms", RESULTS, page(("takes ", " ms", f"{path} @.1f")))


def test_numbers_without_a_source_are_found():
    text = "Needs 1.4 ms, 95 % and 0.5 s; `0.7 ms`; Python 3.10; [x](a-0.3.md); 100 ticks. Holds 250 MB."
    held = page(("Holds ", " MB", "latency:bars.rss_mib.bar @.0f"))
    assert figures.untraced("README.md", text, RESULTS, {"*": {"95 %": "level"}}, held) == ["1.4 ms", "0.5 s"]
    every = {"README.md": {"1.4 ms": "a", "95 %": "b", "0.5 s": "c"}}
    assert figures.untraced("README.md", text, RESULTS, every, held) == []
    hard = "CCC 0.9. Up to 1.5×; 3.6e-7, -0.2; 7, 11 and 12 minutes; 28,558 faces; 5 frames a second; 200 to 300 px; 9-fold"
    found = ["0.9", "1.5 ×", "3.6e-7", "0.2", "7 minutes", "11 minutes", "12 minutes", "28,558", "5 frames a second"]
    assert figures.measured_numbers(hard) == [*found, "200 px", "300 px", "9 -fold"]
    known = page(sources=["latency"])
    assert figures.untraced("a.md", "1.23 ms, 810 fps, 154.3 MiB, 1.24 ms", RESULTS, {}, known) == ["1.24 ms"]


def test_a_path_may_count_into_a_list_of_numbers():
    results = {"card": {"interval": [0.71, 0.81]}}
    assert figures.render("from 1 on", results, page(("from ", " on", "card:interval.1 @.1f"))) == "from 0.8 on"
    with pytest.raises(ArgumentError, match="got nothing"):
        figures.render("from 1 on", results, page(("from ", " on", "card:interval.2 @.1f")))


def test_cells_hold_no_python_values_and_no_internal_ids():
    rows = {"soak": {"faults": {"lost/mic": {"passed": True}, "late/camera": {"passed": False}}}}
    columns = ["cause={key:/0}", "where={key:/1}", "passed={passed}"]
    of_page = figures.page_figures(
        {"tables": {"a": {"rows": "soak:faults", "columns": columns}}}, {"mic": "microphone"}
    )
    made = figures.render("<!--rows:a-->\n<!--/rows-->", rows, of_page)
    assert "| lost | microphone | yes |\n| late | camera | no |" in made


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in figures.pages(ROOT)])
def test_tables_of_the_page_hold_no_python_values(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for table in re.findall(r"<!--rows:.*?<!--/rows-->", text, re.S):
        assert not re.search(r"\| (?:True|False|None|nan) \|", table)
