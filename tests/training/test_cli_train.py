"""`edgeaff train --smoke SYSTEM` prints one JSON object last, and an unknown system is a usage error."""

import json

import pytest

from edgeaff.cli.main import main

pytestmark = pytest.mark.needs_torch


def test_smoke_prints_one_json_object_last(capsys):
    assert main(["train", "--smoke", "rnn_a"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result) == {"system", "parameters", "macs_per_frame", "loss_before", "loss_after"}
    assert result["system"] == "rnn_a"
    assert result["loss_after"] < result["loss_before"]


def test_an_unknown_system_is_a_usage_error(capsys):
    assert main(["train", "--smoke", "transformer"]) == 2
    assert "system must be one of" in capsys.readouterr().err
