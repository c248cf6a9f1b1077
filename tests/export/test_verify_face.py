"""The check of packed face networks on the machine at hand."""

import dataclasses

import numpy as np
import pytest

from edgeaff.backends.native_face import FACE_NETS
from edgeaff.bundle import pack_arrays
from edgeaff.cli.doctor.engines import check_face_networks
from edgeaff.cli.doctor.finding import FAIL, OK
from edgeaff.errors import BackendUnavailableError, BundleError
from edgeaff.export import verify_face as checked
from edgeaff.export.verify_face import verify_face
from tests.packed_bundle import packed_bundle, without_nets

pytestmark = [pytest.mark.needs_native, pytest.mark.needs_onnx]


def other_scale(bundle):
    """The bundle with networks whose descriptors are turned around."""
    arrays = bundle.arrays(FACE_NETS)
    arrays["encoder.floats"] = arrays["encoder.floats"].copy()
    arrays["encoder.floats"][-256:] *= np.float32(-1)  # scales and offsets of the mean
    return dataclasses.replace(bundle, members={**bundle.members, FACE_NETS: pack_arrays(arrays)})


def test_shipped_networks_agree_with_the_twin_and_the_engines():
    found = verify_face(packed_bundle())
    assert found[0].other == "twin" and found[0].bytes_differing == 0
    by_name = {one.other: one for one in found}
    assert by_name["onnxruntime"].largest_difference < 2e-5
    assert all(one.cosine > 0.99 for one in found)


def test_bundles_without_networks_have_nothing_to_check():
    assert verify_face(without_nets(packed_bundle())) == []
    (finding,) = check_face_networks(without_nets(packed_bundle()))
    assert finding.level == OK and "ONNX Runtime" in finding.text


def test_networks_that_say_something_else_than_the_engines_are_refused():
    with pytest.raises(BundleError, match="must agree with onnxruntime"):
        verify_face(other_scale(packed_bundle()))


def test_a_byte_off_the_twin_is_refused(monkeypatch):
    real = checked.run_net

    def wrong(arrays, image):
        tensors, outputs = real(arrays, image)
        tensors[1] = tensors[1] ^ 1
        return tensors, outputs

    monkeypatch.setattr(checked, "run_net", wrong)
    with pytest.raises(BundleError, match="must agree with twin"):
        verify_face(packed_bundle())
    (finding,) = check_face_networks(packed_bundle())
    assert finding.level == FAIL


def test_the_twin_is_enough_where_no_engine_is_installed(monkeypatch):
    def absent(*arguments, **options):
        raise BackendUnavailableError("not installed")

    monkeypatch.setattr(checked, "load_graph", absent)
    assert [one.other for one in verify_face(packed_bundle())] == ["twin"]
    (finding,) = check_face_networks(packed_bundle())
    assert finding.level == OK and "0 bytes differ from the NumPy twin" in finding.text
