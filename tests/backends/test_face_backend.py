"""Which backend runs the face graphs, and that packed networks say what the ONNX graphs say."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from edgeaff.backend_choice import choose_backend
from edgeaff.backends.face import detector_backend, encoder_backend, load_face_graph
from edgeaff.backends.native_face import FACE_NETS
from edgeaff.bench.latency_media import FPS, make_media
from edgeaff.bundle import ModelBundle, pack_arrays
from edgeaff.detection import load_detector
from edgeaff.detection.decode import decode_maps
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.session import Session
from tests.packed_bundle import packed_bundle, without_nets

pytestmark = [pytest.mark.needs_native, pytest.mark.needs_onnx]
TICKS = 24


def drive(session: Session, media, ticks: int = TICKS):
    events = []
    for tick in range(ticks):
        now = tick * 1_000_000_000 // FPS
        events += session.push_audio(media.audio(tick), pts_ns=now, sample_rate_hz=16_000)
        events += session.push_frame(media.image(tick), pts_ns=now)
    return events


def backends_of(session: Session) -> tuple[str, str]:
    parts = session._preprocessor.parts
    return parts.detector._graph.backend, parts.encoder.graph.backend


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("default", ("native", "native")),
        ("native", ("native", "native")),
        ("onnxruntime", ("onnxruntime", "onnxruntime")),
        pytest.param("openvino", ("native", "openvino"), marks=pytest.mark.needs_openvino),
    ],
)
def test_session_runs_the_face_graphs_on_what_goes_with_its_backend(backend, expected):
    assert backends_of(Session(packed_bundle(), backend=backend)) == expected


def test_bundles_without_networks_run_on_onnx_runtime():
    old = without_nets(packed_bundle())
    assert encoder_backend(old, "native") == detector_backend(old, "openvino") == "onnxruntime"
    assert backends_of(Session(old)) == ("onnxruntime", "onnxruntime")
    with pytest.raises(ArgumentError, match="no packed networks"):
        load_face_graph(old, "face_encoder", backend="native")


def test_events_agree_with_onnx_runtime():
    media = make_media(3.0)
    ours, theirs = (drive(Session(packed_bundle(), backend=backend), media) for backend in ("native", "onnxruntime"))
    assert len(ours) == len(theirs) >= TICKS - 1
    for one, other in zip(ours, theirs, strict=True):
        assert one.status == other.status and (one.face is None) == (other.face is None)
        if one.face is not None:
            np.testing.assert_allclose(one.face.box, other.face.box, atol=0.02)
        if one.valence is not None and other.valence is not None:
            assert abs(one.valence - other.valence) < 2e-3 and abs(one.arousal - other.arousal) < 4e-3


def test_events_are_equal_on_every_instruction_set():
    code = (
        "import edgeaff.ops, sys, tests.backends.test_face_backend as t\n"
        "from edgeaff.session import Session\n"
        "edgeaff.ops.set_instruction_set(sys.argv[1])\n"
        "session = Session(t.packed_bundle())\n"
        "image = t.make_media(1.0).image(3)\n"
        "parts = session._preprocessor.parts\n"
        "found = parts.detector.detect(image)\n"
        "print([list(face.box) + [face.score] for face in found], parts.encoder.encode([(image, (200, 90, 400, 330))]).tobytes().hex())"
    )
    stated = {
        subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True).stdout
        for name in ("scalar", "avx2", "best")
    }
    assert len(stated) == 1


def test_load_detector_uses_the_packed_network():
    detector = load_detector("ssd", bundle=packed_bundle())
    assert detector._graph.backend == "native"
    image = make_media(1.0).image(0)
    other = load_detector("ssd", bundle=packed_bundle(), backend="onnxruntime")
    for one, two in zip(detector.detect(image), other.detect(image), strict=True):
        np.testing.assert_allclose(one.box, two.box, atol=0.02)


def test_decoding_reads_both_layouts_of_maps():
    rng = np.random.default_rng(0)
    together = [
        rng.normal(-2, 2, (rows, columns, 16)).astype(np.float32) for rows, columns in ((8, 12), (4, 6), (2, 3))
    ]
    views = [one.transpose(2, 0, 1)[:15] for one in together]
    for a, b in zip(
        decode_maps(views, score_threshold=0.5),
        decode_maps([view.copy() for view in views], score_threshold=0.5),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_auto_tries_packed_networks_first(monkeypatch):
    monkeypatch.setattr("edgeaff.backend_choice.CANDIDATES", ("native", "onnxruntime"))
    choice = choose_backend(packed_bundle())
    assert choice.face_backend == "native"
    assert "native" in choice.reason.partition("for a face: ")[2]


def test_swapping_takes_the_encoder_along():
    session = Session(packed_bundle(), backend="onnxruntime")
    session.swap_backend("native")
    assert session._preprocessor.parts.encoder.graph.backend == "native"


def test_networks_of_another_graph_are_refused_when_the_session_is_made():
    bundle = packed_bundle()
    other = {**bundle.members, bundle.manifest.graphs["face_encoder"]: bundle.graph_bytes("face_detector")}
    with pytest.raises(BundleError, match="another graph"):
        Session(dataclasses.replace(bundle, members=other))


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {**arrays, "meta": np.frombuffer(b"{}", np.uint8)},
        lambda arrays: {name: array for name, array in arrays.items() if name != "encoder.weights"},
        lambda arrays: {**arrays, "detector.weights": arrays["detector.weights"][:-3]},
        lambda arrays: {**arrays, "detector.steps": arrays["detector.steps"] * 7},
        lambda arrays: {**arrays, "encoder.floats": np.full_like(arrays["encoder.floats"], np.inf)},
    ],
)
def test_damaged_networks_are_a_bundle_error(change):
    bundle = packed_bundle()
    broken = {**bundle.members, FACE_NETS: pack_arrays(change(bundle.arrays(FACE_NETS)))}
    with pytest.raises(BundleError):
        Session(dataclasses.replace(bundle, members=broken))


def test_without_onnx_runtime_a_session_runs_and_asking_for_it_names_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "import tests.backends.test_face_backend as t\n"
        "from edgeaff.errors import BackendUnavailableError\n"
        "bundle = t.ModelBundle.load(sys.argv[1])\n"
        "t.drive(t.Session(bundle), t.make_media(1.0), 4)\n"
        "try:\n    t.Session(bundle, backend='onnxruntime')\nexcept BackendUnavailableError as error:\n    print(error)\n"
    )
    bundle = packed_bundle()
    ModelBundle.save(tmp_path / "packed.eaff", bundle.manifest, bundle.members)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "packed.eaff")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pip install 'edgeaff[onnxruntime]'" in done.stdout
