"""A configuration that demands a signature or a lowest version loads nothing else, and what is verified is what is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgeaff
from edgeaff.bundle import DEFAULT_BUNDLE, ModelBundle, open_bundle
from edgeaff.cli.main import UNUSABLE, main
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.signature import sign_bundle, signature_path, verify_signature
from tests.bundles import manifest, write
from tests.test_signature import write_keys

pytestmark = pytest.mark.needs_sign


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    private, public = write_keys(tmp_path, "mine")
    return private, public


@pytest.fixture
def signed(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    bundle = tmp_path / "a.eaff"
    bundle.write_bytes(DEFAULT_BUNDLE.read_bytes())
    sign_bundle(bundle, keys[0])
    return bundle


def test_bundle_loaded_with_a_key_names_it(signed: Path, keys: tuple[Path, Path]) -> None:
    assert ModelBundle.load(signed, key=keys[1]).signed_by == verify_signature(signed, keys[1])
    assert ModelBundle.load(signed).signed_by is None


def test_file_that_changes_after_the_check_is_not_what_was_loaded(
    signed: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    original = edgeaff.bundle.read_bounded

    def counted(path: Path, **limits: int) -> bytes:
        reads.append(path)
        data = original(path, **limits)
        signed.write_bytes(b"swapped")  # what a symlink that flips would do
        return data

    monkeypatch.setattr("edgeaff.bundle.read_bounded", counted)
    assert ModelBundle.load(signed, key=keys[1]).signed_by is not None
    assert reads == [signed]


@pytest.mark.parametrize("how", ["argument", "configuration"])
def test_runtime_that_demands_a_signature_refuses_others(
    tmp_path: Path, signed: Path, keys: tuple[Path, Path], how: str
) -> None:
    config = tmp_path / "edgeaff.toml"
    config.write_text(f'[runtime]\nkey = "{keys[1]}"\n')
    demand = {"key": keys[1]} if how == "argument" else {"config": config}
    source = edgeaff.PushAudio(sample_rate_hz=16_000)
    assert edgeaff.Runtime(signed, audio=source, **demand).bundle.signed_by is not None
    signature_path(signed).unlink()
    for bundle in (signed, None, ModelBundle.load()):
        with pytest.raises(BundleError, match="signature|verified with key"):
            edgeaff.Runtime(bundle, audio=source, **demand)


def test_bundle_loaded_with_the_key_is_taken_by_a_runtime_that_demands_it(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    bundle = ModelBundle.load(signed, key=keys[1])
    assert edgeaff.Runtime(bundle, audio=edgeaff.PushAudio(sample_rate_hz=16_000), key=keys[1]).bundle is bundle


def test_older_bundle_with_a_good_signature_is_refused(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    path = write(tmp_path / "old.eaff", manifest(version=2))
    sign_bundle(path, keys[0])
    assert open_bundle(path, key=keys[1], minimum_version=2).version == 2
    with pytest.raises(BundleError, match="at least 3, got 2"):
        open_bundle(path, key=keys[1], minimum_version=3)
    with pytest.raises(BundleError, match="at least 3, got 2"):
        open_bundle(open_bundle(path, key=keys[1]), key=keys[1], minimum_version=3)


@pytest.mark.parametrize("path", [None, 3, b"a.eaff", ["a.eaff"]])
def test_signature_of_what_is_no_path_is_an_argument_error(signed: Path, keys: tuple[Path, Path], path: object) -> None:
    with pytest.raises(ArgumentError, match="must be a path"):
        verify_signature(path, keys[1])  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="must be a path"):
        verify_signature(signed, path)  # type: ignore[arg-type]


def test_signature_takes_text_as_a_path(signed: Path, keys: tuple[Path, Path]) -> None:
    assert verify_signature(str(signed), str(keys[1])) == verify_signature(signed, keys[1])


def test_key_file_without_end_is_not_read(tmp_path: Path, signed: Path) -> None:
    big = tmp_path / "big.pem"
    big.write_bytes(b"x" * (1 << 20))
    for path in (big, Path("/dev/zero"), tmp_path):
        with pytest.raises(ArgumentError):
            verify_signature(signed, path)


def test_run_with_a_key_refuses_an_unsigned_bundle(
    tmp_path: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(tmp_path / "none.wav"), "--key", str(keys[1]), "--quiet"]) == UNUSABLE
    capsys.readouterr()


def test_verify_without_golden_sequences_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = ModelBundle.load()
    members = {name: data for name, data in bundle.members.items() if name != "golden.npz"}
    ModelBundle.save(tmp_path / "a.eaff", bundle.manifest, members)
    assert main(["models", "verify", str(tmp_path / "a.eaff")]) == UNUSABLE
    assert "golden.npz" in capsys.readouterr().err


def test_names_in_a_bundle_change_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.eaff", manifest(model_id="\x1b[31mred\x9b2J\u202e"))
    for action in ("list", "info", "verify"):
        main(["models", action, str(tmp_path / "a.eaff")])
        stated = capsys.readouterr()
        assert not {"\x1b", "\x9b", "\u202e"} & set(stated.out + stated.err)


def test_error_about_a_file_changes_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", str(tmp_path / "\x1b]0;title\x07.eaff")]) == UNUSABLE
    assert "\\x1b]0;title\\x07" in capsys.readouterr().err


def test_session_of_a_bundle_that_was_verified_runs(signed: Path, keys: tuple[Path, Path]) -> None:
    session = edgeaff.Session(ModelBundle.load(signed, key=keys[1]), video=False)
    assert session.push_lld(np.zeros((30, 65), np.float32), pts_ns=0)


def test_archive_is_annotated_with_a_signed_bundle_alone(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    from edgeaff.archive.annotate import annotate

    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(BundleError, match="signature beside it"):
        annotate([tmp_path / "a.wav"], tmp_path / "out", kind="jsonl", key=keys[1])
