"""Writes the bill of materials of a wheel: `python tests/tools/make_sbom.py dist/edgeaff-*.whl` makes NAME.cdx.json beside it.

CycloneDX 1.6 in JSON. It names the wheel with its sha256, what is inside of it that is data or machine code (the default bundle, the
compiled module), what was compiled into that (headers of pybind11, the static CUDA runtime), and every dependency with the version
that `constraints.txt` holds for this Python. The same wheel gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
import zipfile
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\]+?))?\s*\\?$", re.MULTILINE)
Component = dict[str, Any]
BUILD = {"pybind11": "headers compiled in", "cmake": "build tool", "ninja": "build tool", "setuptools": "build tool"}


def pinned() -> dict[str, str]:
    """Returns package -> version of constraints.txt on this Python and system."""
    found = {}
    for name, number, marker in PIN.findall((ROOT / "constraints.txt").read_text(encoding="utf-8")):
        if not marker or Requirement(f"{name} ; {marker}").marker.evaluate():  # type: ignore[union-attr]
            found[name.lower()] = number
    return found


def library(name: str, number: str | None, *, scope: str, about: str = "") -> Component:
    """Returns the component of a Python package. scope: required, optional or excluded."""
    purl = f"pkg:pypi/{name.lower()}" + (f"@{number}" if number else "")
    row: Component = {"type": "library", "bom-ref": purl, "name": name, "scope": scope, "purl": purl}
    if number:
        row["version"] = number
    if about:
        row["description"] = about
    return row


def dependencies(metadata: Any) -> list[Component]:
    """Returns a component for every dependency: required, or optional with the extras that bring it."""
    versions = pinned()
    extras: dict[str, set[str]] = {}
    for text in metadata.get_all("Requires-Dist") or ():
        wanted = Requirement(text)
        names = extras.setdefault(wanted.name, set())
        names |= set(re.findall(r"""extra == ['"]([^'"]+)['"]""", str(wanted.marker or ""))) or {""}
    rows = []
    for name, wanted_by in sorted(extras.items()):
        required = "" in wanted_by
        about = "" if required else f"extra {', '.join(sorted(wanted_by))}"
        number = versions.get(name.lower())
        rows.append(library(name, number, scope="required" if required else "optional", about=about))
    return rows


def contents(wheel: zipfile.ZipFile) -> list[Component]:
    """Returns a component for the model and for every compiled file in a wheel."""
    rows = []
    for name in sorted(wheel.namelist()):
        kind = {".eaff": "machine-learning-model", ".so": "file"}.get(Path(name).suffix)
        if kind is not None:
            digest = hashlib.sha256(wheel.read(name)).hexdigest()
            row = {"type": kind, "bom-ref": name, "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
            rows.append(row)
    return rows


def compiled_in(wheel: zipfile.ZipFile) -> list[Component]:
    """Returns the components compiled into the module of a wheel and the build tools; "excluded" is not shipped as a package."""
    rows = []
    for name, about in BUILD.items():
        try:
            rows.append(library(name, version(name), scope="excluded", about=about))
        except PackageNotFoundError:
            continue
    if any(b"cudart" in wheel.read(name) for name in wheel.namelist() if name.endswith(".so")):
        about = "NVIDIA CUDA runtime, linked statically"
        rows.append(
            {
                "type": "library",
                "bom-ref": "cudart_static",
                "name": "cudart_static",
                "scope": "required",
                "description": about,
            }
        )
    return rows


def make_sbom(path: Path) -> dict[str, Any]:
    """Returns the bill of materials of a wheel."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    with zipfile.ZipFile(path) as wheel:
        (entry,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(wheel.read(entry).decode())
        parts = [*contents(wheel), *compiled_in(wheel)]
    own = library("edgeaff", metadata["Version"], scope="required", about=metadata["Summary"])
    own |= {
        "licenses": [{"license": {"id": metadata["License-Expression"]}}],
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    needed = dependencies(metadata)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {"component": own, "properties": [{"name": "edgeaff:wheel", "value": path.name}]},
        "components": [*parts, *needed],
        "dependencies": [
            {"ref": own["bom-ref"], "dependsOn": [row["bom-ref"] for row in [*parts, *needed]]},
            *({"ref": row["bom-ref"]} for row in [*parts, *needed]),
        ],
    }


def main(paths: list[str]) -> int:
    """Writes a bill beside every wheel; returns 1 where none is given."""
    for path in map(Path, paths):
        target = path.with_suffix(".cdx.json")
        target.write_text(json.dumps(make_sbom(path), indent=1) + "\n", encoding="utf-8")
        print(target)
    return int(not paths)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
