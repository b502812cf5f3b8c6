"""The platform's Ed25519 signature of its evidence, with a key that is not in the database.

Signed text begins with a line that names its kind (`forebay-receipt/1`), so that a signature of one
kind of evidence is not valid for another.
"""

from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings


def signed_text(body: bytes, purpose: str) -> bytes:
    return f"forebay-{purpose}/1\n".encode() + body


def sign(body: bytes, purpose: str) -> bytes:
    """Returns 64 bytes over the purpose's line and the body."""
    return _private(settings.AUDIT_SIGNING_KEY).sign(signed_text(body, purpose))


def verify(body: bytes, signature: bytes, purpose: str, key: bytes | None = None) -> bool:
    """Verifies a signature with `key`, a raw public key, or with ours."""
    try:
        _public(key or public_key()).verify(signature, signed_text(body, purpose))
    except (InvalidSignature, ValueError):
        return False
    return True


def is_ours(body: bytes, signature: bytes, purpose: str) -> bool:
    """Returns True if our current or a former key made the signature."""
    return any(verify(body, signature, purpose, key) for key in trusted().values())


def trusted() -> dict[str, bytes]:
    """Returns our current and former public keys by id, the current one first."""
    return {key_id(key): key for key in (public_key(), *older())}


def older() -> list[bytes]:
    """Returns public keys of former signing keys (docs/audit.md)."""
    return list(settings.AUDIT_PUBLIC_KEYS_OLD)


def public_key() -> bytes:
    """Returns the raw public key, 32 bytes."""
    return _raw_public(settings.AUDIT_SIGNING_KEY)


def key_id(key: bytes | None = None) -> str:
    """Returns the id of a public key: 32 hex digits."""
    return _key_id(key or public_key())


@lru_cache(64)
def _key_id(key: bytes) -> str:
    return sha256(key).hexdigest()[:32]


@lru_cache(8)
def _private(seed: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)


@lru_cache(8)
def _raw_public(seed: bytes) -> bytes:
    return _private(seed).public_key().public_bytes_raw()


@lru_cache(64)
def _public(key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key)
