"""What is installed and shipped: lower bounds without known faults, pins with hashes, a bill of materials for the wheel."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from tests.tools.make_sbom import make_sbom, pinned

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FIRST_FIXED = {  # the first release without the faults that were published for the ones before, as far as they touch us
    "cryptography": ("46.0.5", "CVE-2024-26130, CVE-2024-12797, CVE-2026-26007"),
    "numpy": ("1.22", "CVE-2021-41495"),
    "onnx": ("1.19", "CVE-2024-5187, CVE-2025-51480"),
    "opencv-python-headless": ("4.12", "CVE-2023-4863 (libwebp), CVE-2025-53644"),
    "pillow": ("12.1.1", "CVE-2023-4863, CVE-2023-50447, CVE-2024-28219, CVE-2025-48379, CVE-2026-25990"),
    "pyarrow": ("14.0.1", "CVE-2023-47248"),
    "ray": ("2.52", "CVE-2025-1979, CVE-2025-62593"),
    "setuptools": ("78.1.1", "CVE-2024-6345, CVE-2025-47273"),
    "torch": ("2.10", "CVE-2025-32434, CVE-2025-3730, CVE-2026-24747"),
    "websockets": ("9.1", "CVE-2021-33880"),
}


def requirements(root: Path) -> list[Requirement]:
    with (root / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    tables = [project["build-system"]["requires"], project["project"]["dependencies"]]
    tables += [*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()]
    return [Requirement(text) for table in tables for text in table]


def test_lower_bounds_exclude_releases_with_known_faults(root: Path) -> None:
    for wanted in requirements(root):
        name = wanted.name.lower().replace("_", "-")
        if name in FIRST_FIXED:
            bounds = [Version(one.version) for one in wanted.specifier if one.operator == ">="]
            first, faults = FIRST_FIXED[name]
            assert bounds and bounds[0] >= Version(first), f"{wanted} admits {faults}; ask for {first} at least"


def test_every_pin_but_that_of_torch_has_hashes_and_no_index_is_named(root: Path) -> None:
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    without = [
        block.split("==")[0]
        for block in re.split(r"\n(?=[a-z])", text)
        if "==" in block and "--hash=sha256:" not in block
    ]
    assert [name.rpartition("\n")[2] for name in without] == ["torch"]


def test_every_package_that_make_installs_is_pinned(root: Path) -> None:
    names = set(
        re.findall(r"^([A-Za-z0-9._-]+)==", (root / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    with (root / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    extras = re.search(r"^DEV_EXTRAS := (.*)$", makefile, re.MULTILINE)[1].split()  # type: ignore[index]
    groups = re.search(r"^DEV_GROUPS := (.*)$", makefile, re.MULTILINE)[1].split()  # type: ignore[index]
    tables = [
        project["project"]["dependencies"],
        *(project["project"]["optional-dependencies"][name] for name in extras),
    ]
    tables += [project["dependency-groups"][name] for name in groups]
    wanted = {re.sub(r"[-_.]+", "-", Requirement(text).name.lower()) for table in tables for text in table}
    assert wanted <= names


def small_wheel(folder: Path) -> Path:
    path = folder / "edgeaff-0.1.0-cp311-cp311-linux_x86_64.whl"
    metadata = (
        "Metadata-Version: 2.4\nName: edgeaff\nVersion: 0.1.0\nSummary: affect\nLicense-Expression: Apache-2.0\n"
        'Requires-Dist: numpy>=1.26\nRequires-Dist: av>=15; extra == "media"\nRequires-Dist: av>=15; extra == "demo"\n\n'
    )
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in (
            ("edgeaff-0.1.0.dist-info/METADATA", metadata),
            ("edgeaff/assets/edge.eaff", "model"),
            ("edgeaff/ops/_C.so", "code"),
        ):
            wheel.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data)
    return path


def test_bill_of_materials_names_wheel_model_code_and_dependencies(tmp_path: Path) -> None:
    bill = make_sbom(small_wheel(tmp_path))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["purl"] == "pkg:pypi/edgeaff@0.1.0"
    parts = {row["name"]: row for row in bill["components"]}
    assert (
        parts["edgeaff/assets/edge.eaff"]["type"] == "machine-learning-model"
        and len(parts["edgeaff/ops/_C.so"]["hashes"]) == 1
    )
    assert parts["numpy"]["scope"] == "required" and parts["numpy"]["version"] == pinned()["numpy"]
    assert parts["av"]["scope"] == "optional" and parts["av"]["description"] == "extra demo, media"
    references = [row["bom-ref"] for row in [bill["metadata"]["component"], *bill["components"]]]
    assert len(set(references)) == len(references) and {row["ref"] for row in bill["dependencies"]} == set(references)
    assert json.dumps(bill) == json.dumps(make_sbom(small_wheel(tmp_path)))
