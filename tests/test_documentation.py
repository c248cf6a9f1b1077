"""What README, docs and examples name is there: commands and their options, names of the interface, files, links, targets of make."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from enum import Enum
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import edgeaff
from edgeaff.cli.main import make_parser
from edgeaff.runtime.config import OPTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [
    *PAGES,
    *sorted(
        path
        for path in (ROOT / "examples").rglob("*.*")
        if path.is_file() and path.suffix != ".ipynb" and "__pycache__" not in path.parts
    ),
]
MODULES = sorted(
    path for folder in ("edgeaff", "recipes", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
)
NATIVE = sorted(path for path in (ROOT / "csrc").rglob("*") if path.suffix in {".h", ".cc", ".cu", ".cuh"})
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?<![\w.-])(?:edgeaff|-m edgeaff) ([a-z]+)\b((?:(?!edgeaff )[^\n`#;])*)")
MODULE = re.compile(r"-m (edgeaff(?:\.\w+)+|recipes(?:\.\w+)+)((?:(?!python )[^\n`#;])*)")
SCRIPT = re.compile(r"python ((?:benchmarks|examples)/\w+\.py)((?:(?!python )[^\n`#;])*)")
OPTION = re.compile(r"(?<![\w-])--(?!help\b)[a-z][a-z0-9-]*")
DOTTED = re.compile(r"(?<![\w./-])(?:edgeaff|recipes)(?:\.[A-Za-z_]\w*)+(?![\w/]|\.\w)")
PLACE = re.compile(r"`((?:edgeaff|recipes|tests|benchmarks|examples|csrc|cmake|docs)/[\w./-]*[\w/])`")
FILE = re.compile(r"(?<![\w./*<{-])((?:[\w-]+/)*[\w-]+\.(?:py|h|cc|cu|cuh))(?![\w/*])")
FOREIGN = {"linux/videodev2.h"}  # files of others
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#([^)\s]+))?\)")


def text_of(path: Path) -> str:
    """Returns a file with the lines of a command joined, and marks of measured numbers taken out."""
    text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Returns command -> its parser."""
    (found,) = [action.choices for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found)


@cache
def commands() -> dict[str, set[str]]:
    """Returns command -> its options, as the command line has them."""
    return {command: set(one._option_string_actions) for command, one in parsers().items()}


def file_of(module: str) -> Path | None:
    """Returns the file of a module of edgeaff, which is not imported; None where there is none."""
    stem = ROOT.joinpath(*module.split("."))
    return next(
        (path for path in (stem.with_suffix(".py"), stem / "__init__.py", stem / "__main__.py") if path.is_file()), None
    )


@cache
def members(path: Path) -> dict[str, ast.stmt]:
    """Returns the names that a module defines or imports at its top, by name; `Class.member` too."""
    found: dict[str, ast.stmt] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                for own in names_of(item):
                    found[f"{node.name}.{own}"] = item
    for item in ast.parse(path.read_text(encoding="utf-8")).body:
        for own in names_of(item):
            found[own] = item
    return found


def names_of(item: ast.stmt) -> list[str]:
    """Returns the names that a statement defines."""
    if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [item.name]
    if isinstance(item, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in item.names]
    if isinstance(item, ast.Assign):
        return [target.id for target in item.targets if isinstance(target, ast.Name)]
    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
        return [item.target.id]
    if isinstance(item, ast.If):
        return [own for inner in (*item.body, *item.orelse) for own in names_of(inner)]
    return []


def resolves(dotted: str) -> bool:
    """Returns whether a dotted name leads to a module, or to what one defines."""
    parts = dotted.split(".")
    if len(parts) > 1 and parts[0] == "edgeaff" and parts[1] in edgeaff.__all__:
        thing = getattr(edgeaff, parts[1])
        return all((thing := getattr(thing, part, None)) is not None for part in parts[2:])
    for length in range(len(parts), 0, -1):
        path = file_of(".".join(parts[:length]))
        if path is not None:
            rest = ".".join(parts[length:])
            return not rest or rest in members(path)
    return False


def wrong_options(text: str) -> list[str]:
    """Returns commands of a text that are not there, and options that their command has not."""
    wrong = []
    for command, rest in COMMAND.findall(text):
        if command in commands():
            wrong += [f"edgeaff {command} {one}" for one in OPTION.findall(rest) if one not in commands()[command]]
        elif OPTION.search(rest):
            wrong.append(f"edgeaff {command}")
    for module, rest in MODULE.findall(text):
        file = file_of(module)
        source = "" if file is None else "".join(one.read_text() for one in file.parent.glob("*.py"))
        wrong += (
            [module]
            if file is None
            else [f"{module} {one}" for one in OPTION.findall(rest) if f'"{one}"' not in source]
        )
    for script, rest in SCRIPT.findall(text):
        source = (ROOT / script).read_text() if (ROOT / script).is_file() else None
        known = commands()["bench"] if script == "benchmarks/latency.py" else set()
        wrong += (
            [script]
            if source is None
            else [f"{script} {one}" for one in OPTION.findall(rest) if f'"{one}"' not in source and one not in known]
        )
    return wrong


def wrong_names(text: str) -> list[str]:
    """Returns dotted names of edgeaff in a text that lead to nothing."""
    text = re.sub(r"edgeaff\.(toml|service|hpp|h|pc)\b", "", text)
    return [dotted for dotted in DOTTED.findall(text) if not resolves(dotted)]


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_commands_and_options_are_there(path: Path) -> None:
    assert not wrong_options(text_of(path))


@pytest.mark.parametrize("command", parsers())
def test_every_argument_of_a_command_has_its_help(command: str) -> None:
    parser = parsers()[command]
    assert not [action.dest for action in parser._actions if not action.help]
    assert len(parser.format_help().splitlines()) > 5


@pytest.mark.parametrize(
    "path", [path for path in sorted((ROOT / "benchmarks").glob("*.py")) if "__main__" in path.read_text()], ids=name
)
def test_every_script_of_benchmarks_takes_json(path: Path) -> None:
    assert path.name == "latency.py" or '"--json"' in path.read_text(encoding="utf-8")
    assert "--json" in commands()["bench"]  # which latency.py is


def strings_of(path: Path) -> str:
    """Returns docstrings, messages and comments of a Python file, comments of a C++ one."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return "\n".join(re.findall(r"//.*", text))
    strings = [
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return "\n".join([*strings, *re.findall(r"(?:^|\s)# .*", text)])


@cache
def known_files() -> frozenset[str]:
    """Returns the ends of the paths of all files, such as `edgeaff/reference/sync.py` and `sync.py`."""
    folders = ("edgeaff", "recipes", "benchmarks", "examples", "tests", "csrc", "cmake", "docs")
    paths = [path.relative_to(ROOT).parts for folder in folders for path in (ROOT / folder).rglob("*.*")]
    return frozenset("/".join(parts[index:]) for parts in (*paths, ("setup.py",)) for index in range(len(parts)))


def dangling(text: str) -> list[str]:
    """Returns the dangling references of a text of the source: modules, members, commands, options, files, pages of a design."""
    text = text.replace("edgeaff.ops._C", "")  # compiled
    files = [file for file in FILE.findall(text) if file not in known_files() | FOREIGN and "NAME" not in file]
    return wrong_names(text) + wrong_options(text) + files + re.findall(r"\bdesign section \d+", text)


@pytest.mark.parametrize("path", [*MODULES, *NATIVE], ids=name)
def test_docstrings_messages_and_comments_name_what_is_there(path: Path) -> None:
    assert not dangling(strings_of(path))


def test_dangling_references_of_the_source_are_found() -> None:
    text = "see design section 3, edgeaff.export.none, ops/none.py, sync.py and csrc/lld/lld_stream.h; run edgeaff run a --never"
    assert dangling(text) == ["edgeaff.export.none", "edgeaff run --never", "ops/none.py", "design section 3"]


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_names_of_the_interface_are_there(path: Path) -> None:
    assert not wrong_names(text_of(path))


def test_what_is_not_there_is_found() -> None:
    text = "run `edgeaff run a.mp4 --loud`, edgeaff sing --high, /opt/edgeaff/bin/edgeaff doctor --json --fast\n"
    text += "python -m edgeaff.export.to_tensorrt --output e --nonsense; python -m edgeaff.export.none --x\n"
    text += "python benchmarks/latency.py --turns 3 --never and python benchmarks/none.py"
    assert wrong_options(text) == [
        "edgeaff run --loud",
        "edgeaff sing",
        "edgeaff doctor --fast",
        "edgeaff.export.to_tensorrt --nonsense",
        "edgeaff.export.none",
        "benchmarks/latency.py --never",
        "benchmarks/none.py",
    ]
    text = "edgeaff.Runtime.swap_backend, edgeaff.Session.fly, edgeaff.features.lld.extract, edgeaff.features.lld.guess, edgeaff.toml"
    assert wrong_names(text) == ["edgeaff.Session.fly", "edgeaff.features.lld.guess"]
    with pytest.raises(AssertionError, match="speed"):
        check_python(ast.parse("edgeaff.Runtime(video='camera:0', speed=2)"))
    with pytest.raises(AssertionError, match="fly"):
        check_python(ast.parse("session.fly()"))


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_files_and_links_are_there(path: Path) -> None:
    text = text_of(path)
    places = [place for place in PLACE.findall(text) if "NAME" not in place]  # NAME: one's own
    wrong = [place for place in places if not (ROOT / place).exists() and not list(ROOT.glob(place + "*"))]
    for target, anchor in LINK.findall(text):
        file = path.parent / target
        if not file.exists():
            wrong.append(target)
        elif anchor:
            heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            heads = [re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads]
            wrong += [f"{target}#{anchor}"] if anchor not in heads else []
    assert not wrong


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_targets_of_make_are_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = text_of(path)
    called = re.findall(r"`make ([a-z0-9-]+)", text) + re.findall(r"^make ([a-z0-9-]+)", text, re.MULTILINE)
    assert not set(called) - targets


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_blocks_of_python_and_toml_fit_the_interface(path: Path) -> None:
    for language, block in FENCE.findall(path.read_text(encoding="utf-8")):
        if language == "toml":
            assert set(tomllib.loads(block)["runtime"]) <= set(OPTIONS)
        if language == "python":
            check_python(ast.parse(block))


def check_python(tree: ast.AST) -> None:
    """Checks keyword arguments of edgeaff's names, and methods of what is called runtime or session."""
    objects = {"runtime": edgeaff.Runtime, "session": edgeaff.Session}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in objects:
            assert hasattr(objects[node.value.id], node.attr), ast.unparse(node)
        if isinstance(node, ast.Call) and (function := called_of(node, objects)) is not None:
            parameters = inspect.signature(function).parameters
            open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
            unknown = {word.arg for word in node.keywords if word.arg} - set(parameters)
            assert not unknown or (open_ended and unknown <= set(OPTIONS)), ast.unparse(node)


def called_of(node: ast.Call, objects: dict[str, type]) -> object:
    """Returns the function of edgeaff that is called, None for any other."""
    function = node.func
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
        return None
    if function.value.id == "edgeaff":
        return getattr(edgeaff, function.attr)
    return getattr(objects[function.value.id], function.attr, None) if function.value.id in objects else None


def described() -> list[str]:
    """Returns the public names that take arguments."""
    things = {own: getattr(edgeaff, own) for own in edgeaff.__all__}
    classes = [
        own for own, thing in things.items() if inspect.isclass(thing) and not issubclass(thing, (Exception, Enum))
    ]
    return [*classes, *(own for own, thing in things.items() if inspect.isfunction(thing))]


@pytest.mark.parametrize("public", described())
def test_every_argument_of_a_public_name_is_described(public: str) -> None:
    thing = getattr(edgeaff, public)
    text = f"{thing.__doc__}\n{thing.__init__.__doc__}"
    assert not [own for own in inspect.signature(thing).parameters if not re.search(rf"\b{own}\b", text)]


def sentences_of(text: str) -> list[str]:
    """Returns the sentences of a page's prose: no code, tables, headings or images; an entry of a list is a paragraph."""
    text = re.sub(r"^(?:#|\||!\[).*$", "", FENCE.sub("\n\n", text), flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("**", "")
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*(?:-|\d+\.) )", text)
    found = [re.split(r"(?<=[.!?])\s+(?=[*`(\"]*[A-Z])", " ".join(paragraph.split())) for paragraph in paragraphs]
    return [sentence for sentences in found for sentence in sentences if len(sentence.split()) > 1]


def test_sentences_are_split_at_their_ends_alone() -> None:
    text = "# A head\nFirst `a.b` of 0.5 s. Second one\ngoes [on](x.md).\n\n- An entry.\n- **Another.** With more.\n"
    text += "```\nno = 1.\n```\n| a. B | c |\n"
    assert sentences_of(text) == [
        "First `a.b` of 0.5 s.",
        "Second one goes on.",
        "- An entry.",
        "- Another.",
        "With more.",
    ]


def test_sentences_of_the_readme_are_short() -> None:
    lengths = [len(sentence.split()) for sentence in sentences_of(text_of(ROOT / "README.md"))]
    assert len(lengths) > 40 and max(lengths) <= 45 and sum(lengths) / len(lengths) <= 18


@pytest.mark.needs_media
def test_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from .cli.test_record_replay import write_portrait

    write_portrait(tmp_path / "clip.mov").rename(tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    acted: list[edgeaff.AffectEvent] = []

    def firmware_loop() -> object:
        for tick in range(30):
            yield np.zeros((120, 160, 3), np.uint8), np.zeros(1600, np.int16), round(tick * 1e9 / 30)

    given = {"edgeaff": edgeaff, "firmware_loop": firmware_loop, "act": acted.append, "show_the_notice": print}
    blocks = [
        block
        for language, block in FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
        if language == "python"
    ]
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), dict(given))
    assert (tmp_path / "events.csv").read_text().count("\n") > 50
