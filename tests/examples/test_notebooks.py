"""The notebooks run, cell by cell, and their stored outputs are those of the model that ships."""

from __future__ import annotations

import ast
import json
import shutil
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgeaff import ModelBundle

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def code_cells(path: Path) -> list[dict[str, Any]]:
    """Returns the code cells of a notebook."""
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def execute(source: str, names: dict[str, Any]) -> str:
    """Runs a cell; returns the text of its last expression, or "" where it ends in a statement."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None
    return "" if value is None else repr(value)


def copy(clip: Path, target: Path) -> None:
    """Stands in for write_clip, which takes seconds."""
    shutil.copy(clip, target)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the demo's clip, made once for all notebooks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        from demo_clip import write_clip
    path = tmp_path_factory.mktemp("notebooks") / "clip.mp4"
    write_clip(path)
    return path


@pytest.mark.needs_media
@pytest.mark.needs_table
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(
    path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in = ModuleType("demo_clip")
    monkeypatch.setattr(stand_in, "write_clip", partial(copy, clip), raising=False)
    monkeypatch.setitem(sys.modules, "demo_clip", stand_in)
    names: dict[str, Any] = {}
    for cell in code_cells(path):
        shown = execute("".join(cell["source"]), names) + capsys.readouterr().out
        assert bool(shown) == bool(cell["outputs"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_hold_no_error_and_no_path(path: Path) -> None:
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs and all(output["output_type"] in ("execute_result", "stream") for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert "/tmp/" not in json.dumps(outputs)


def test_stored_outputs_are_of_the_bundle_that_ships() -> None:
    stored = json.dumps(code_cells(EXAMPLES / "clip_to_dataframe.ipynb")[-1]["outputs"])
    assert ModelBundle.load().manifest.model_id in stored, "run `make notebooks`"
