"""The graph of imports: no circle, also where an import stands inside a function, and every room without its users."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

Graph = dict[str, set[str]]


def imported(tree: ast.AST, modules: dict[str, Path]) -> Iterator[str]:
    """Yields the modules of edgeaff that a file imports, at its top or in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield from (name for name in (whole if whole in modules else node.module,) if name in modules)


def read_graph(root: Path) -> Graph:
    paths = {
        path: ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for path in (root / "edgeaff").rglob("*.py")
    }
    modules = {name: path for path, name in paths.items()}
    return {
        name: set(imported(ast.parse(path.read_text(encoding="utf-8")), modules)) - {name}
        for path, name in paths.items()
    }


def circle_in(graph: Graph) -> list[str]:
    """Returns the modules of one circle, in the order of their imports; empty where there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for target in sorted(graph.get(name, ())):
            if found := visit(target, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def test_no_circle_of_imports(root: Path) -> None:
    assert circle_in(read_graph(root)) == []


def test_circles_are_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_recipes_and_benchmarks_are_not_imported_by_the_package(root: Path) -> None:
    for path in (root / "edgeaff").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in getattr(node, "names", ()) if isinstance(node, ast.Import)]
            )
            assert not [name for name in names if name.split(".")[0] in ("recipes", "benchmarks", "tests")], path


def test_a_session_is_imported_without_what_it_may_never_need() -> None:
    code = "import sys; from edgeaff import Session; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    rest = {
        "edgeaff.backend_choice",
        "edgeaff.backend_swap",
        "edgeaff.features.lld_stream",
        "edgeaff.features.lld_reference",
    }
    rest |= {
        "edgeaff.features.resample_reference",
        "edgeaff.golden",
        "edgeaff.measures",
        "edgeaff.signature",
        "edgeaff.runtime",
    }
    assert not loaded & (rest | {"av", "logging", "onnxruntime", "torch", "zipfile"})
