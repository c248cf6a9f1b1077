"""Signatures of bundles: a detached ed25519 signature, `NAME.eaff.sig`, over the whole file (extra `sign`).

The checksums inside a bundle state that it is whole; anyone who changes it can write new ones. A signature states that the holder of a
key made this very file. `ModelBundle.load(key=...)` checks it over the bytes that it then loads. Keys are PEM files as OpenSSL writes
them:

    openssl genpkey -algorithm ed25519 -out private.pem && openssl pkey -in private.pem -pubout -out public.pem
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError
from edgeaff.parsing.boundary import boundary, printable, read_bounded

SUFFIX = ".sig"
CONTEXT = b"edgeaff bundle 1\n"  # so that the signature means nothing elsewhere
_MOST_KEY_BYTES, _MOST_SIGNATURE_BYTES, _MOST_BUNDLE_BYTES = 1 << 16, 1 << 12, 1 << 31


def sign_bundle(bundle: str | os.PathLike[str], key: str | os.PathLike[str]) -> Path:
    """Returns the signature file, written beside the bundle.

    Args:
        bundle: the file to sign.
        key: PEM file with a private ed25519 key, without password.

    Raises:
        ArgumentError: an argument is no path, or the key is no such key.
    """
    bundle, key = as_path("bundle", bundle), as_path("key", key)
    from_pem = _serialization().load_pem_private_key
    with boundary(ArgumentError, f"key must be a private ed25519 key in PEM form, {key}", f"see {__name__}."):
        private = from_pem(_read(key, _MOST_KEY_BYTES), password=None)
    if not hasattr(private, "public_key") or not _is_ed25519(private.public_key()):
        raise ArgumentError(f"key must be a private ed25519 key, got another kind in {key}; make one with openssl.")
    signature = private.sign(_message(_read(bundle, _MOST_BUNDLE_BYTES)))
    path = signature_path(bundle)
    path.write_text("\n".join((key_id(private.public_key()), base64.b64encode(signature).decode())) + "\n")
    return path


def verify_signature(bundle: str | os.PathLike[str], key: str | os.PathLike[str]) -> str:
    """Returns the id of the key that signed a bundle, after checking the signature; `ModelBundle.load(key=...)` loads it as well.

    Args:
        bundle: the file; its signature is beside it.
        key: PEM file with the public ed25519 key that must have signed it.

    Raises:
        ArgumentError: an argument is no path, or the key is no such key.
        BundleError: there is no signature, or it is another key's, or of another file.
    """
    path = as_path("bundle", bundle)
    return check_signature(path, _read(path, _MOST_BUNDLE_BYTES), read_signature(path), key)


def read_signature(bundle: Path) -> bytes:
    """Returns the content of the signature file beside a bundle.

    Raises:
        BundleError: there is none, or it cannot be read.
    """
    path = signature_path(bundle)
    if not path.is_file():
        raise BundleError(f"{bundle} must have its signature beside it, got no {path.name}; ask who made it.")
    with boundary(BundleError, f"{path.name} must be a readable signature", "ask who made the bundle."):
        return read_bounded(path, most_bytes=_MOST_SIGNATURE_BYTES)


def check_signature(bundle: Path, data: bytes, signature: bytes, key: str | os.PathLike[str]) -> str:
    """Returns the id of the key that signed these bytes.

    Args:
        bundle: name of the file, for messages.
        data: its bytes.
        signature: content of its signature file.
        key: PEM file with the public ed25519 key that must have signed it.

    Raises:
        ArgumentError: the key is no path or no such key.
        BundleError: the signature is another key's, or of another file.
    """
    key = as_path("key", key)
    public = _public_key(key)
    name = signature_path(bundle).name
    stated, _, encoded = signature.decode("utf-8", "replace").strip().partition("\n")
    if stated != key_id(public):
        raise BundleError(
            f"{bundle} must be signed by key {key_id(public)} ({key.name}), got {printable(stated, most=40)} ({name}); do not use it."
        )
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(base64.b64decode(encoded, validate=True), _message(data))
    except (InvalidSignature, ValueError) as error:
        digest = hashlib.sha256(data).hexdigest()
        raise BundleError(
            f"{name} must be the signature of key {stated} over this file, got one of another file for sha256 {digest}; the bundle or "
            "its signature was changed: do not use it."
        ) from error
    return stated


def public_key_id(key: str | os.PathLike[str]) -> str:
    """Returns the id of the public key in a PEM file.

    Raises:
        ArgumentError: it is no such key.
    """
    return key_id(_public_key(as_path("key", key)))


def signature_path(bundle: Path) -> Path:
    """Returns where the signature of a bundle lies."""
    return bundle.with_name(bundle.name + SUFFIX)


def key_id(public: Any) -> str:
    """Returns 16 hex digits that name a public key."""
    serialization = _serialization()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def as_path(name: str, path: Any) -> Path:
    """Returns a path argument.

    Raises:
        ArgumentError: it is no path.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(f"{name} must be a path, got {type(path).__name__}; pass the name of a file.")
    return Path(path)


def _public_key(path: Path) -> Any:
    serialization = _serialization()
    with boundary(ArgumentError, f"key must be a public ed25519 key in PEM form, {path}", f"see {__name__}."):
        public = serialization.load_pem_public_key(_read(path, _MOST_KEY_BYTES))
    if not _is_ed25519(public):
        raise ArgumentError(f"key must be a public ed25519 key, got another kind in {path}; ask for the right one.")
    return public


def _is_ed25519(public: Any) -> bool:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return isinstance(public, Ed25519PublicKey)


def _message(data: bytes) -> bytes:
    return CONTEXT + hashlib.sha256(data).digest()


def _read(path: Path, most_bytes: int) -> bytes:
    with boundary(ArgumentError, f"path must be a readable file, {path}", "check the name."):
        return read_bounded(path, most_bytes=most_bytes)


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise BackendUnavailableError(
            f"signatures need the package cryptography, got: {error}; pip install 'edgeaff[sign]'."
        ) from error
    return serialization
