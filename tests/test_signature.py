"""A signature holds for one file and one key; anything else is refused with both sides named."""

import sys

import pytest

from edgeaff.bundle import DEFAULT_BUNDLE
from edgeaff.cli.main import UNUSABLE, USAGE, main
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError
from edgeaff.signature import sign_bundle, signature_path, verify_signature

pytestmark = pytest.mark.needs_sign


def write_keys(folder, name):
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    paths = folder / f"{name}.private.pem", folder / f"{name}.public.pem"
    paths[0].write_bytes(private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    paths[1].write_bytes(private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return paths


@pytest.fixture
def signed(tmp_path):
    bundle = tmp_path / "a.eaff"
    bundle.write_bytes(DEFAULT_BUNDLE.read_bytes())
    private, public = write_keys(tmp_path, "mine")
    assert sign_bundle(bundle, private) == signature_path(bundle) == tmp_path / "a.eaff.sig"
    return bundle, public


def test_the_right_key_is_named(signed):
    bundle, public = signed
    assert verify_signature(bundle, public) == signature_path(bundle).read_text().split()[0]


def test_a_changed_byte_is_refused(signed):
    bundle, public = signed
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    with pytest.raises(
        BundleError, match="must be the signature of key [0-9a-f]{16} over this file, got one of another file"
    ):
        verify_signature(bundle, public)


def test_another_key_is_refused_and_both_are_named(signed, tmp_path):
    bundle, _ = signed
    _, other = write_keys(tmp_path, "other")
    with pytest.raises(BundleError, match=r"must be signed by key [0-9a-f]{16} \(other.public.pem\), got [0-9a-f]{16}"):
        verify_signature(bundle, other)


def test_a_signature_under_a_borrowed_name_is_refused(signed, tmp_path):
    bundle, public = signed
    stated = signature_path(bundle).read_text().split()[0]
    sign_bundle(bundle, write_keys(tmp_path, "other")[0])
    forged = signature_path(bundle).read_text().split()[1]
    signature_path(bundle).write_text(f"{stated}\n{forged}\n")
    with pytest.raises(BundleError, match="do not use it"):
        verify_signature(bundle, public)


@pytest.mark.parametrize("text", ["", "x", "\n\n", "0123456789abcdef\n!!!\n"])
def test_rubbish_is_refused(signed, text):
    bundle, public = signed
    signature_path(bundle).write_text(text)
    with pytest.raises(BundleError):
        verify_signature(bundle, public)


def test_keys_of_another_kind_are_refused(signed, tmp_path):
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    bundle, public = signed
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "ec.pem").write_bytes(
        key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    )
    (tmp_path / "ec.public.pem").write_bytes(
        key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(ArgumentError, match="private ed25519 key"):
        sign_bundle(bundle, tmp_path / "ec.pem")
    with pytest.raises(ArgumentError, match="public ed25519 key"):
        verify_signature(bundle, tmp_path / "ec.public.pem")
    with pytest.raises(ArgumentError, match="private ed25519 key in PEM form"):
        sign_bundle(bundle, public)


def test_command_line(signed, tmp_path, capsys):
    bundle, public = signed
    private = tmp_path / "mine.private.pem"
    assert main(["models", "sign", str(bundle), "--key", str(private)]) == 0
    assert main(["models", "verify", str(bundle), "--key", str(public)]) == 0
    assert "signed by key" in capsys.readouterr().out
    signature_path(bundle).unlink()
    assert main(["models", "verify", str(bundle), "--key", str(public)]) == UNUSABLE
    assert "must have its signature beside it" in capsys.readouterr().err
    assert main(["models", "sign", str(bundle)]) == USAGE
    assert main(["models", "list", str(tmp_path)]) == 0
    assert "(edge), preprocessing" in capsys.readouterr().out


def test_without_the_package_the_extra_is_named(signed, monkeypatch):
    bundle, public = signed
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(BackendUnavailableError, match=r"edgeaff\[sign\]"):
        verify_signature(bundle, public)
