"""The guard of the public interface: which changes break callers, and which names it covers."""

from __future__ import annotations

import importlib

import pytest

import edgeaff
from tests.tools.check_api import breakages, describe, documented_names

ACCEPTED = """
class Reader(Closing):
    size: int
    def read(count: int, *, exact: bool = True) -> bytes: ...

def load(path: str) -> Reader: ...
"""


@pytest.mark.needs_docs
@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        ("    size: int\n", "", "Reader.size"),
        (", *, exact: bool = True", "", "Reader.read(exact)"),
        ("exact: bool = True", "exact: bool = False", "Reader.read(exact)"),
        ("path: str", "path: str, mode: int", "load(mode)"),
        ("def load", "def open_reader", "load"),
        ("Reader(Closing)", "Reader()", "Reader"),
    ],
)
def test_breakages_names_what_a_caller_loses(old: str, new: str, broken: str) -> None:
    assert [line.split(": ")[0] for line in breakages(ACCEPTED, ACCEPTED.replace(old, new))] == [broken]


@pytest.mark.needs_docs
def test_breakages_allows_additions() -> None:
    longer = ACCEPTED.replace("= True", "= True, wait: bool = False").replace(
        "    size: int", "    size: int\n    name: str"
    )
    assert breakages(ACCEPTED, longer) == []


@pytest.mark.needs_docs
def test_describe_reads_properties_and_inherited_members() -> None:
    text = describe()
    assert "\n    backend: str\n" in text  # a property of Session
    assert "\ndef circumplex(valence: float, arousal: float) -> str: ...\n" in text
    camera = text.split("\nclass Camera(")[1].split("\n# ")[0]
    assert "def close() -> None: ..." in camera  # of LiveSource


@pytest.mark.parametrize("name", sorted(set(edgeaff.__all__) - {"__version__"}))
def test_reference_documents_every_name_of_the_package(name: str) -> None:
    assert f"edgeaff.{name}" in documented_names()


@pytest.mark.parametrize("name", documented_names())
def test_reference_names_exist_and_are_documented(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert getattr(importlib.import_module(module), attribute).__doc__
