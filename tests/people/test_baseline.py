"""The file of a baseline: it comes back as it was, and what is damaged, foreign or hostile is refused."""

import json
import os
import re
import stat

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.people.baseline import MOST_WEIGHT, Baseline, as_baseline

WEIGHTS = tuple(np.random.default_rng(0).uniform(0, 100, 64).tolist())
PLAIN = tuple(float(index == 40) * 900 for index in range(64))


def _made():
    return Baseline("model-1", PLAIN, WEIGHTS)


def test_a_file_gives_the_baseline_back_to_the_bit(tmp_path):
    path = tmp_path / "me.json"
    path.write_text("something longer " * 1000)
    _made().save(path)
    assert Baseline.load(path) == _made()
    path.unlink()
    _made().save(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_it_states_what_is_usual():
    made = _made()
    assert made.seconds == pytest.approx(sum(WEIGHTS) / 30)
    assert made.centers[0] == pytest.approx((-1 + 40.5 / 32) / 2)  # 30 s of evidence against 30 s of prior
    assert "model-1" in repr(made) and len(repr(made)) < 120


def _changed(**changes):
    given = {**_made().to_dict(), **changes}
    return json.dumps({name: value for name, value in given.items() if value is not None})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "JSON"),
        ("[1]", "object"),
        ("{}", "another kind"),
        (_changed(format="other"), "another kind"),
        (_changed(schema=2), "schema 2"),
        (_changed(schema="1"), "another kind"),
        (_changed(more=1), "'more'"),
        (_changed(model_id=""), "model_id"),
        (_changed(model_id=7), "model_id"),
        (_changed(model_id=None), "model_id"),
        (_changed(valence=None), "64 numbers"),
        (_changed(valence=[1.0] * 63), "64 numbers"),
        (_changed(valence=[[1.0]] * 64), "64 numbers"),
        (_changed(valence=["1"] * 64), "64 numbers"),
        (_changed(valence=[True] * 64), "64 numbers"),
        (_changed(valence=[-1.0] + [1.0] * 63), "64 numbers"),
        (_changed(valence="x" * 64), "64 numbers"),
        (_changed(arousal=[MOST_WEIGHT] * 64), "at most"),
        (_changed().replace(str(PLAIN[40]), "NaN", 1), "finite"),
        (_changed().replace(str(PLAIN[40]), "1e999", 1), "finite"),
        (_changed()[:-20], "JSON"),
        (_changed(model_id="x" * 70_000), "more than"),
        ("[" * 70_000, "more than"),
    ],
)
def test_what_is_none_is_refused(tmp_path, text, what):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=what) as raised:
        Baseline.load(path)
    assert " must " in str(raised.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ArgumentError, match=re.escape(f"baseline '{path}' must be")):
            Baseline.load(path)


def test_options_of_a_session_are_read(tmp_path):
    path = tmp_path / "me.json"
    _made().save(path)
    options = {"model_id": "model-1", "max_faces": 1}
    assert as_baseline(None, **options) == as_baseline(False, **options) == (False, None)
    assert as_baseline(True, model_id="model-1", max_faces=4) == (True, None)
    for given in (_made(), path, str(path), _made().to_dict()):
        assert as_baseline(given, **options) == (True, _made())


@pytest.mark.parametrize(
    ("given", "options", "what"),
    [
        (3, {}, "got 3"),
        (_made(), {"model_id": "model-2"}, "of the model model-2"),
        (_made(), {"max_faces": 2}, "max_faces 2"),
    ],
)
def test_a_baseline_that_does_not_fit_is_refused(given, options, what):
    with pytest.raises(ArgumentError, match=what):
        as_baseline(given, **{"model_id": "model-1", "max_faces": 1, **options})
