"""edgeaff/ops/_C.pyi states what the compiled module has."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.tools.make_stub import TARGET, differences, tidy

pytestmark = pytest.mark.needs_native


def test_stub_states_the_functions_and_classes_of_the_module() -> None:
    from edgeaff.ops import native

    assert differences(native(), TARGET.read_text(encoding="utf-8")) == [], "run `make stubs`"


def test_differences_of_a_stub_are_named() -> None:
    def step(count: int) -> None:
        """step(count: typing.SupportsInt | typing.SupportsIndex) -> None"""

    module = ModuleType("module")
    vars(module).update(step=step, gone=step)
    assert differences(module, "def step(count: int) -> None: ...\ndef added() -> None: ...") == ["added", "gone"]
    assert differences(
        module, "def step(count: float) -> None: ...\ndef gone(*args: Any, **kwargs: Any) -> Any: ..."
    ) == ["step"]


def test_signatures_of_pybind_become_python() -> None:
    stated = "(self: edgeaff.ops._C.Net, arg0: typing.Annotated[numpy.typing.ArrayLike, numpy.int8], "
    stated += "arg1: dict, cap: object = <capsule>) -> tuple"
    assert (
        tidy(stated) == "(self, arg0: npt.NDArray[np.int8], arg1: dict[str, Any], cap: object = ...) -> tuple[Any, ...]"
    )
    assert tidy("(arg0: std::vector<int>) -> int") == "(*args: Any, **kwargs: Any) -> Any"
