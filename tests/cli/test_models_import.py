"""`edgeaff models import`: exit codes and messages; the readers have their own tests."""

import pytest

from edgeaff.cli.main import UNUSABLE, USAGE, main

pytestmark = pytest.mark.needs_torch


def test_import_wants_a_file_and_an_output(capsys):
    assert main(["models", "import", "VGG_FACE.caffemodel"]) == USAGE
    assert "import must have a weight file and --output" in capsys.readouterr().err


def test_import_of_a_small_network_names_layer_and_shape(tmp_path, capsys):
    from tests.training.vggface_files import known_layers, write_pytorch

    write_pytorch(tmp_path / "vgg.pth", known_layers(7), wrapped=False)
    code = main(["models", "import", str(tmp_path / "vgg.pth"), "--output", str(tmp_path / "out.npz")])
    assert code in (USAGE, UNUSABLE)
    assert "conv1_1.weight must be (64, 3, 3, 3), got (4, 3, 3, 3)" in capsys.readouterr().err
    assert not (tmp_path / "out.npz").exists()


def test_import_of_what_is_no_state_dict_is_one_line(tmp_path, capsys):
    (tmp_path / "vgg.pth").write_text("hello\n")  # torch's reader looks for key 101 in an empty memo
    assert main(["models", "import", str(tmp_path / "vgg.pth"), "--output", str(tmp_path / "out.npz")]) == USAGE
    assert "file must be a PyTorch state dict" in capsys.readouterr().err


def test_import_writes_weights(tmp_path, capsys, monkeypatch):
    from edgeaff.training import importers
    from tests.training.vggface_files import CONFIG, known_layers, write_pytorch

    read = importers.import_vggface
    monkeypatch.setattr(importers, "import_vggface", lambda path, **options: read(path, config=CONFIG, **options))
    write_pytorch(tmp_path / "vgg.pth", known_layers(7), wrapped=False)
    assert main(["models", "import", str(tmp_path / "vgg.pth"), "--output", str(tmp_path / "out.npz")]) == 0
    assert "pytorch, channel order of the file: rgb" in capsys.readouterr().out
    assert importers.read_weights(tmp_path / "out.npz").map_px == 7
