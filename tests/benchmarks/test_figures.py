"""Every number of README and docs stands in a JSON of benchmarks/results, or is a constant that somebody answers for."""

import json
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


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in figures.pages(ROOT)])
def test_figures_of_the_page_are_those_of_the_committed_results(page, results):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert figures.render(text, results) == text, "run `make readme-figures`"


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in figures.pages(ROOT)])
def test_every_number_of_the_page_is_traceable(page, results):
    stated = json.loads((ROOT / "benchmarks" / "stated_numbers.json").read_text(encoding="utf-8"))
    found = figures.untraced(page, (ROOT / page).read_text(encoding="utf-8"), results, stated)
    assert not found, (
        f"{page}: {found} stand in no JSON; mark them (benchmarks/figures.py), name their JSON on the page, or state a constant in "
        "benchmarks/stated_numbers.json"
    )


@pytest.mark.parametrize("name", ["faces", "kernels", "latency", "lld", "parity", "replay_overload", "several", "soak"])
def test_results_of_speed_say_machine_date_and_commit(name, results):
    assert results[name]["machine"]["processor"] and results[name]["run"]["date"] and results[name]["run"]["commit"]


def test_number_marks_are_filled_and_scaled():
    text = "<!--f latency:pipelines[engine=edgeaff,mode=back_to_back].cpu_ms @.2f-->9<!--/f--> ms, "
    text += "<!--f latency:bars.rss_mib.measured @*0.5:.1f--><!--/f-->"
    made = figures.render(text, RESULTS)
    assert ">1.23<" in made and ">77.1<" in made
    assert figures.render(made, RESULTS) == made


def test_row_marks_make_a_table_and_leave_a_dash_where_a_value_is_missing():
    head = "<!--rows latency:pipelines[mode=back_to_back] | engine={engine} | rate={fps:.0f} fps-->"
    made = figures.render(f"{head}\nold\n<!--/rows-->", RESULTS)
    assert made == (f"{head}\n| engine | rate |\n|---|---|\n| edgeaff | 810 fps |\n| torch_naive | - |\n<!--/rows-->")
    assert figures.render(made, RESULTS) == made


def test_rows_of_an_object_have_its_keys():
    made = figures.render("<!--rows latency:bars[] | bar={key} | got={measured:.0f}-->\n<!--/rows-->", RESULTS)
    assert "| rss_mib | 154 |" in made


@pytest.mark.parametrize(
    "path",
    ["speed:pipelines[].fps", "latency:pipelines[engine=none].fps", "latency:pipelines[].fps", "latency:pipelines[]"],
)
def test_marks_that_lead_nowhere_are_errors(path):
    with pytest.raises(ArgumentError, match="path must"):
        figures.render(f"<!--f {path} @.1f-->1<!--/f-->", RESULTS)


def test_numbers_without_a_source_are_found():
    text = "Needs 1.4 ms, 95 % and 0.5 s; `0.7 ms`; Python 3.10; [x](a-0.3.md); 100 ticks. "
    text += "<!--f latency:bars.rss_mib.bar @.0f-->250 MB<!--/f-->"
    assert figures.untraced("README.md", text, RESULTS, {"*": {"95 %": "level"}}) == ["1.4 ms", "0.5 s"]
    assert figures.untraced("README.md", text, RESULTS, {"README.md": {"1.4 ms": "a", "95 %": "b", "0.5 s": "c"}}) == []
    hard = "CCC 0.9. Up to 1.5×; 3.6e-7, -0.2; 7, 11 and 12 minutes; 28,558 faces; 5 frames a second; 200 to 300 px; 9-fold"
    found = ["0.9", "1.5 ×", "3.6e-7", "0.2", "7 minutes", "11 minutes", "12 minutes", "28,558", "5 frames a second"]
    assert figures.measured_numbers(hard) == [*found, "200 px", "300 px", "9 -fold"]
    known = "<!--figures from latency-->"
    assert figures.untraced("a.md", f"{known} 1.23 ms, 810 fps, 154.3 MiB, 1.24 ms", RESULTS, {}) == ["1.24 ms"]


def test_a_path_may_count_into_a_list_of_numbers():
    results = {"card": {"interval": [0.71, 0.81]}}
    assert figures.render("<!--f card:interval.1 @.1f--><!--/f-->", results) == "<!--f card:interval.1 @.1f-->0.8<!--/f-->"
    with pytest.raises(ArgumentError, match="got nothing"):
        figures.render("<!--f card:interval.2 @.1f--><!--/f-->", results)
