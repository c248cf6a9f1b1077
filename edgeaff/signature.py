"""Who made a bundle: a detached ed25519 signature, `NAME.eaff.sig`, over the whole file (extra `sign`).

The checksums inside a bundle say that it is whole; whoever changes it can write them anew. A signature says that the holder of a key
made this very file. Keys are PEM files as OpenSSL writes them:

    openssl genpkey -algorithm ed25519 -out private.pem && openssl pkey -in private.pem -pubout -out public.pem
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError

SUFFIX = ".sig"
CONTEXT = b"edgeaff bundle 1\n"  # so that the signature means nothing elsewhere


def sign_bundle(bundle: Path, key: Path) -> Path:
    """Returns the signature file, written beside the bundle.

    Args:
        bundle: the file to sign.
        key: PEM file with a private ed25519 key, without password.

    Raises:
        ArgumentError: the key is no such key.
    """
    from_pem = _serialization().load_pem_private_key
    try:
        private = from_pem(_read(key), password=None)
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            f"key must be a private ed25519 key in PEM form, got {key} ({error}); see {__name__}."
        ) from error
    if not hasattr(private, "public_key") or not _is_ed25519(private.public_key()):
        raise ArgumentError(f"key must be a private ed25519 key, got another kind in {key}; make one with openssl.")
    path = signature_path(bundle)
    lines = (key_id(private.public_key()), base64.b64encode(private.sign(_message(bundle))).decode())
    path.write_text("\n".join(lines) + "\n")
    return path


def verify_signature(bundle: Path, key: Path) -> str:
    """Returns the id of the key that signed a bundle, after checking the signature.

    Args:
        bundle: the file; its signature lies beside it.
        key: PEM file with the public ed25519 key that must have signed it.

    Raises:
        ArgumentError: the key is no such key.
        BundleError: there is no signature, or it is another key's, or of another file.
    """
    serialization = _serialization()
    try:
        public: Any = serialization.load_pem_public_key(_read(key))
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            f"key must be a public ed25519 key in PEM form, got {key} ({error}); see {__name__}."
        ) from error
    if not _is_ed25519(public):
        raise ArgumentError(f"key must be a public ed25519 key, got another kind in {key}; ask for the right one.")
    path = signature_path(bundle)
    if not path.is_file():
        raise BundleError(f"{bundle} must have its signature beside it, got no {path.name}; ask who made it.")
    stated, _, encoded = path.read_text(errors="replace").strip().partition("\n")
    if stated != key_id(public):
        raise BundleError(
            f"{bundle} must be signed by key {key_id(public)} ({key.name}), got {stated} ({path.name}); do not use it."
        )
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(base64.b64decode(encoded, validate=True), _message(bundle))
    except (InvalidSignature, ValueError) as error:
        digest = hashlib.sha256(_read(bundle)).hexdigest()
        raise BundleError(
            f"{path.name} must be the signature of key {stated} over this file, got one of another file for sha256 {digest}; the bundle or "
            "its signature was changed: do not use it."
        ) from error
    return stated


def signature_path(bundle: Path) -> Path:
    """Returns where the signature of a bundle lies."""
    return bundle.with_name(bundle.name + SUFFIX)


def key_id(public: Any) -> str:
    """Returns 16 hex digits that name a public key."""
    serialization = _serialization()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def _is_ed25519(public: Any) -> bool:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return isinstance(public, Ed25519PublicKey)


def _message(bundle: Path) -> bytes:
    return CONTEXT + hashlib.sha256(_read(bundle)).digest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArgumentError(f"path must be a readable file, got {path} ({error.strerror}); check the name.") from error


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise BackendUnavailableError(
            f"signatures need the package cryptography, got: {error}; pip install 'edgeaff[sign]'."
        ) from error
    return serialization
