"""What `edgeaff export` would refuse at the end is refused before training, by the same check."""

import json

import numpy as np
import pytest

from edgeaff.bundle import ModelBundle
from edgeaff.cli.main import main
from edgeaff.errors import ArgumentError, SpecMismatchError
from edgeaff.spec import paper_spec_of

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_native]


@pytest.fixture(scope="module")
def base():
    return ModelBundle.load()


def run_info_of(base, preset="edge", **changes):
    """What a cache states of features that the bundle's recipe made."""
    from edgeaff.training.features.cache import statistics_id
    from edgeaff.training.features.recipe import encoder_id_of

    spec = base.spec if preset == "edge" else paper_spec_of(base.spec)
    made = {
        "fingerprint": spec.fingerprint,
        "encoder_id": encoder_id_of(base),
        "statistics": statistics_id(base.manifest.statistics),
    }
    return made | changes


def check(base, system, features, **sizes):
    from edgeaff.export.exportable import check_exportable
    from edgeaff.training.models.registry import find_system

    small = {"size": 32, "num_heads": 2, "ffn_size": 32, "layers": 1, "video_size": 128}
    module = find_system(system).build(sizes={**small, **sizes})
    check_exportable(system, module, features, base=base, statistics=base.manifest.statistics)


def test_features_of_the_right_preset_pass(base):
    check(base, "edge", run_info_of(base))
    check(base, "transformer_av", run_info_of(base, "paper"))
    check(base, "transformer_av", run_info_of(base, "paper", encoder_id="vggface 0123456789abcdef"))


@pytest.mark.parametrize(
    ("system", "made", "wanted", "other"),
    [("transformer_av", "edge", "paper", "edge"), ("edge", "paper", "edge", "transformer_av")],
)
def test_features_of_the_other_preset_are_refused_with_what_to_do(base, system, made, wanted, other):
    with pytest.raises(
        SpecMismatchError, match=f"extract with --preset {wanted} into another folder, or train {other}"
    ):
        check(base, system, run_info_of(base, made))


@pytest.mark.parametrize(
    ("name", "advice"), [("fingerprint", "--bundle"), ("encoder_id", "without --vggface"), ("statistics", "--features")]
)
def test_features_of_another_bundle_are_refused_with_the_option_that_names_it(base, name, advice):
    with pytest.raises(SpecMismatchError, match=advice):
        check(base, "edge", run_info_of(base, **{name: "0123456789abcdef"}))


@pytest.mark.parametrize(
    ("system", "sizes", "message"),
    [
        ("edge", {"size": 60, "num_heads": 4}, "multiples of 16"),
        ("edge", {"ffn_size": 50}, "multiples of 16"),
        ("edge", {"band": 1}, "band must be at least 2"),
        ("transformer_av", {"layers": 0}, "at least one encoder layer"),
    ],
)
def test_sizes_that_no_bundle_takes_are_refused(base, system, sizes, message):
    with pytest.raises(ArgumentError, match=message):
        check(base, system, run_info_of(base, "edge" if system == "edge" else "paper"), **sizes)


def test_training_refuses_before_the_first_step_and_trains_for_comparison_when_asked(base, tmp_path, capsys):
    from edgeaff.training.features.cache import FeatureCache, Features
    from edgeaff.training.features.recipe import encoder_id_of

    statistics = base.manifest.statistics
    cache = FeatureCache(tmp_path / "features", base.spec, encoder_id=encoder_id_of(base), statistics=statistics)
    (tmp_path / "features" / "statistics.json").write_text(json.dumps(statistics))
    rng = np.random.default_rng(0)
    for name, split in (("a", "train"), ("b", "valid")):
        arrays = [rng.standard_normal((120, width)).astype(np.float32) for width in (128, 65)]
        labels = rng.uniform(-0.5, 0.5, (120, 2)).astype(np.float32)
        cache.write(Features(name, split, *arrays, np.ones((120, 2), bool), labels))
    (tmp_path / "c.toml").write_text(
        'system = "transformer_av"\nepochs = 1\nsteps_per_epoch = 1\nbatch = 1\nfollow_features = true\n'
        "sizes = { size = 16, num_heads = 2, ffn_size = 16, layers = 1 }\n"
    )
    command = [
        "train",
        str(tmp_path / "c.toml"),
        "--features",
        str(tmp_path / "features"),
        "--output",
        str(tmp_path / "run"),
    ]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "extract with --preset paper into another folder, or train edge; or pass --no-bundle" in error
    assert not (tmp_path / "run").exists()
    assert main([*command, "--no-bundle", "--quiet"]) == 0
    assert (tmp_path / "run" / "best.safetensors").exists()
    assert main(["export", str(tmp_path / "run"), "--output", str(tmp_path / "x.eaff")]) == 3
    assert "extract with --preset paper" in capsys.readouterr().err
