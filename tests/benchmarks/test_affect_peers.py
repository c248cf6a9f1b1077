"""The comparison with expression networks of others: its arithmetic, and the committed result."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import affect_peer_nets as nets
from benchmarks.affect_peers import SCALES, SEEN, ccc_of_draws, peer, row_of
from edgeaff.errors import BackendUnavailableError
from edgeaff.measures import ccc
from edgeaff.training.corpora.ferplus import ANCHORS, EMOTIONS

pytestmark = pytest.mark.needs_torch


def test_a_peer_gives_the_expectation_of_the_anchors() -> None:
    shares = np.array([[0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 2], [1, 0, 0, 0, 1, 0, 0]], float)
    values = peer(lambda crops: shares, nets.MINI_XCEPTION)(np.zeros((3, 96, 96), np.uint8))
    anchor = {name: ANCHORS[EMOTIONS.index(name)] for name in EMOTIONS}
    assert values == pytest.approx(
        np.stack([anchor["happiness"], anchor["neutral"], (anchor["anger"] + anchor["sadness"]) / 2])
    )


@pytest.mark.parametrize("names", [nets.MINI_XCEPTION, nets.FACE_API, nets.FACEX])
def test_names_are_seven_of_ferplus(names: tuple[str, ...]) -> None:
    assert len(set(names)) == 7
    assert set(names) < set(EMOTIONS)


def test_differences_are_paired() -> None:
    random = np.random.default_rng(0)
    truth = random.uniform(-0.7, 0.7, (300, 2))
    good, bad = truth + 0.1 * random.standard_normal((300, 2)), truth + 0.6 * random.standard_normal((300, 2))
    row = row_of("mini_XCEPTION", bad, good, truth)
    assert row["valence"]["ccc"] == pytest.approx(ccc(bad[:, 0], truth[:, 0]), abs=1e-4)
    low, high = row["valence"]["interval"]
    assert low < row["valence"]["ccc"] < high
    assert row["arousal"]["edgeaff_ahead_by"][0] > 0.1
    assert row_of("edgeaff", good, good, truth)["valence"]["edgeaff_ahead_by"] == [0.0, 0.0]
    draws = random.integers(0, 300, (3, 300))
    slow = [ccc(good[draw, 0], truth[draw, 0]) for draw in draws]
    assert ccc_of_draws(good[:, 0], truth[:, 0], draws) == pytest.approx(slow)


@pytest.mark.needs_shared
def test_networks_of_the_data_folder_see_a_face_and_tell_it_from_another(shared: Path) -> None:
    from recipes.face_encoder.augment import plain
    from recipes.face_encoder.data import read_split

    affect = shared / "data" / "affect"
    valid = read_split(affect / "fer2013plus", "valid")
    clear = [np.flatnonzero(valid.votes[:, index] == 1.0)[:12] for index in (0, 1)]  # neutral, happiness
    crops = [np.stack([plain(image) for image in valid.images[rows]]) for rows in clear]
    for make, names in ((nets.face_api, nets.FACE_API), (nets.mini_xception, nets.MINI_XCEPTION)):
        run, smile = make(affect / "models"), names.index("happiness")
        calm, glad = run(crops[0]), run(crops[1])
        assert glad.shape == (12, 7) and glad.sum(axis=1) == pytest.approx(np.ones(12), abs=1e-4)
        assert glad[:, smile].mean() > 0.5 > calm[:, smile].mean()


def test_a_peer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailableError, match="facex"):
        nets.facex(tmp_path)


def test_the_committed_result_states_what_may_have_been_trained_on(root: Path) -> None:
    result = json.loads((root / "benchmarks" / "results" / "affect_peers.json").read_text(encoding="utf-8"))
    assert result["faces"] >= 1000
    rows = {row["system"]: row for row in result["rows"]}
    assert {"edgeaff", "mini_XCEPTION", "face-api.js"} <= set(rows)
    assert set(rows) | set(result["left_out"]) == set(SEEN)
    for name, row in rows.items():
        assert row["trained_on_these_images"] == SEEN[name]
        assert row["crop_scale"] in SCALES
        for dimension in ("valence", "arousal"):
            low, high = row[dimension]["interval"]
            assert low <= row[dimension]["ccc"] <= high
