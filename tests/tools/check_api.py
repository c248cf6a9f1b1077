"""Guards the public interface: the names of docs/api.md and docs/api_parts.md, with parameters, defaults and types, as griffe reads them.

`tests/tools/public_api.txt` holds the accepted state. `make check` fails where the code differs and lists which differences break callers;
`make api` accepts the new state. `--against v0.1.0` compares the code with the state in a tag instead, for a release.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import griffe

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/api.md", "docs/api_parts.md")
ACCEPTED = "tests/tools/public_api.txt"
OF_OBJECTS = {
    "__eq__",
    "__hash__",
    "__repr__",
    "__str__",
    "__reduce__",
    "__new__",
    "__post_init__",
    "__slots__",
    "__match_args__",
    "__del__",
}


def documented_names(root: Path = ROOT) -> list[str]:
    """Returns the dotted names of both pages, in order."""
    return [
        name
        for page in PAGES
        for name in re.findall(r"^::: (\S+)$", (root / page).read_text(encoding="utf-8"), re.MULTILINE)
    ]


def member_lines(member: griffe.Object | griffe.Alias, name: str) -> list[str]:
    """Returns the stub of a member of a class: a method, a property or an attribute."""
    if member.is_function:
        text = member.signature(return_type=True, name=name)  # without self
        static = {"classmethod", "staticmethod"} & set(member.labels)
        return [f"@{next(iter(static))}", f"def {text}: ..."] if static else [f"def {text}: ..."]
    if not member.is_attribute:
        return []
    value = f" = {member.value}" if "class-attribute" in member.labels and member.value is not None else ""
    return [f"{name}: {member.annotation or 'Any'}{value}"]


def stub_of(item: griffe.Object | griffe.Alias) -> list[str]:
    """Returns the stub of a documented function or class, inherited members included."""
    if item.is_function:
        return [f"def {item.signature(return_type=True)}: ..."]
    bases = ", ".join(str(base) for base in item.bases)
    lines = [f"class {item.name}({bases}):"]
    for name, member in item.all_members.items():
        if member.is_public and name not in OF_OBJECTS:
            lines += [f"    {line}" for line in member_lines(member, name)]
    return lines if len(lines) > 1 else [*lines, "    ..."]


def describe(root: Path = ROOT) -> str:
    """Returns the public interface as the text of a stub."""
    import griffe

    package = griffe.load("edgeaff", search_paths=[root], allow_inspection=False, resolve_aliases=True)
    blocks = []
    for name in documented_names(root):
        item = package[name.removeprefix("edgeaff.")]
        blocks.append("\n".join([f"# {name}", *stub_of(item.final_target if item.is_alias else item)]))
    return "\n\n".join(blocks) + "\n"


def breakages(old: str, new: str) -> list[str]:
    """Returns one line for each change between two descriptions that breaks a caller."""
    import griffe

    before, after = (griffe.visit("edgeaff", filepath=Path("edgeaff.pyi"), code=text) for text in (old, new))
    lines = [
        breakage.explain(griffe.ExplanationStyle.ONE_LINE) for breakage in griffe.find_breaking_changes(before, after)
    ]
    return [re.sub(r"\x1b\[\d*m", "", line).split(": ", 1)[1] for line in lines]  # without color and line number


def main(arguments: list[str] | None = None) -> int:
    """Compares, or writes with --accept; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", action="store_true", help=f"write {ACCEPTED}")
    parser.add_argument(
        "--against", metavar="TAG", help="compare with the state in this tag and list what breaks callers"
    )
    options = parser.parse_args(arguments)
    path, current = ROOT / ACCEPTED, describe()
    if options.against:
        old = subprocess.run(
            ["git", "show", f"{options.against}:{ACCEPTED}"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
    else:
        old = path.read_text(encoding="utf-8") if path.exists() else ""
    breaking = breakages(old, current)
    print("\n".join(breaking), end="\n" if breaking else "")
    if options.accept:
        path.write_text(current, encoding="utf-8")
        if breaking:
            print("These changes break callers; name them in CHANGELOG.md under Changed or Removed.")
        return 0
    if options.against:
        return 1 if breaking else 0
    if old != current:
        print(f"The public interface differs from {ACCEPTED}; run `make api` to accept it and commit the file.")
        return 1
    print(f"public interface: {len(documented_names())} names as accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
