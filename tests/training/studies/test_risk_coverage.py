"""`edgeaff evaluate --risk-coverage`: the curve of a bundle over features, written as JSON, Markdown and PNG."""

import json

import numpy as np
import pytest

from edgeaff.bundle import ModelBundle
from edgeaff.cli.main import main

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_native]


def made_features(folder, *, encoder_id=None, ticks=40, faces=True):
    """Writes two tracks of the shipped bundle's golden descriptors, the second without audio."""
    from edgeaff.training.features.cache import FeatureCache, Features
    from edgeaff.training.features.recipe import encoder_id_of

    bundle = ModelBundle.load()
    cache = FeatureCache(
        folder,
        bundle.spec,
        encoder_id=encoder_id or encoder_id_of(bundle),
        statistics=bundle.manifest.statistics,
    )
    golden = bundle.arrays("golden.npz")
    for index in range(2):
        video, audio = golden["video"][index, :ticks], golden["audio"][index, :ticks]
        present = np.ones((ticks, 2), dtype=bool)
        present[:, 1] = index == 0
        present[:3, 0] = False
        present[:, 0] &= faces
        labels = np.clip(golden["values"][index, :ticks] + np.linspace(-0.2, 0.3, ticks)[:, None], -1, 1)
        labels[-2:] = -5.0
        cache.write(Features(f"t{index}", "valid", video, audio, present, labels.astype(np.float32)))


def test_a_bundle_is_measured_and_its_curve_drawn(tmp_path, capsys):
    made_features(tmp_path / "features")
    arguments = ["evaluate", "--corpus", str(tmp_path / "features"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--risk-coverage"]) == 0
    stated = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (stated["tracks"], stated["frames"]) == (2, 76)
    for name in ("valence", "arousal"):
        points = stated["risk_coverage"][name]
        assert [point["answered"] for point in points] == pytest.approx([k / 10 for k in range(1, 11)], abs=0.01)
        assert points[-1]["rmse"] == pytest.approx(stated[f"rmse_{name}"], abs=1e-4)
        assert points[-1]["ccc"] == pytest.approx(stated[f"ccc_{name}"], abs=1e-4)
        limits = [point["most_std"] for point in points]
        assert limits == sorted(limits) and limits[0] < limits[-1]
    written = json.loads((tmp_path / "out" / "risk_coverage_valid.json").read_text())
    assert written["valence"] == stated["risk_coverage"]["valence"]
    assert "| 100% |" in (tmp_path / "out" / "risk_coverage_valid.md").read_text()
    assert (tmp_path / "out" / "risk_coverage_valid.png").read_bytes()[:4] == b"\x89PNG"


def test_the_curve_takes_the_values_and_deviations_of_events(tmp_path):
    from edgeaff.inference import Uncertainty, load_predictor
    from edgeaff.training.features.cache import FeatureCache
    from edgeaff.training.studies.risk_coverage import predict_track

    made_features(tmp_path)
    bundle = ModelBundle.load()
    track = FeatureCache.open(tmp_path).read_all("valid")[0]
    uncertainty = Uncertainty(bundle.manifest.uncertainty)
    values, std = predict_track(load_predictor(bundle), uncertainty, track)
    predictor = load_predictor(bundle)
    state = predictor.initial_state()
    for tick in range(3):
        _, state = predictor.step(state, None, np.array(track.audio[tick]))
    assert tuple(std[2]) == uncertainty.std(0.0, 0.03)
    prediction, _ = predictor.step(state, np.array(track.video[3]), np.array(track.audio[3]))
    assert tuple(std[3]) == (prediction.valence_std, prediction.arousal_std)
    assert values[3] == pytest.approx([prediction.valence, prediction.arousal])


def test_features_of_another_encoder_are_refused(tmp_path, capsys):
    made_features(tmp_path / "features", encoder_id="another")
    arguments = ["evaluate", "--corpus", str(tmp_path / "features"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--risk-coverage"]) != 0
    assert "corpus must hold features that" in capsys.readouterr().err


def test_a_curve_is_of_standard_deviations_that_differ(tmp_path, capsys):
    from dataclasses import replace

    from edgeaff.export.paper import WIDE

    made_features(tmp_path / "features", faces=False)
    bundle, path = ModelBundle.load(), tmp_path / "own.eaff"
    ModelBundle.save(path, replace(bundle.manifest, uncertainty=WIDE), bundle.members)
    arguments = ["--corpus", str(tmp_path / "features"), "--output", str(tmp_path / "out")]
    assert main(["evaluate", str(path), *arguments, "--risk-coverage"]) == 2
    assert "valence_std must differ between ticks" in capsys.readouterr().err
    assert main(["evaluate", str(path), *arguments]) == 0
    stated = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert stated["tracks"] == 2 and "risk_coverage" not in stated


def test_a_curve_is_of_a_bundle_and_has_a_folder(capsys):
    assert main(["evaluate", "runs/edge", "--corpus", "x", "--output", "y", "--risk-coverage"]) == 2
    assert "run must be a bundle (.eaff)" in capsys.readouterr().err
    assert main(["evaluate", "own.eaff", "--corpus", "x"]) == 2
    assert "must come with --output" in capsys.readouterr().err
