"""Secrets of second factors at rest: AES-256-GCM under a key of the platform, bound to the person.

A ciphertext moved into another person's row does not open there.
"""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from allauth.core import context
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

MARK, NONCE = "g1:", 12  # the mark names the scheme
_owner: ContextVar[int | None] = ContextVar("owner of the second factor", default=None)


class Unreadable(Exception):
    """A text that this platform's key did not encrypt, or that belongs to another person."""


@contextmanager
def secrets_of(user_id: int) -> Iterator[None]:
    """Name the owner of the secrets. Needed where nobody is signed in yet."""
    token = _owner.set(user_id)
    try:
        yield
    finally:
        _owner.reset(token)


def encrypt(text: str) -> str:
    nonce = os.urandom(NONCE)
    ciphertext = _cipher().encrypt(nonce, text.encode(), _bound_to())
    return MARK + base64.b64encode(nonce + ciphertext).decode()


def decrypt(encrypted: str) -> str:
    """Raises Unreadable."""
    if not encrypted.startswith(MARK):
        raise Unreadable
    raw = base64.b64decode(encrypted[len(MARK) :])
    try:
        return _cipher().decrypt(raw[:NONCE], raw[NONCE:], _bound_to()).decode()
    except InvalidTag:
        raise Unreadable from None


def _cipher() -> AESGCM:
    return AESGCM(settings.SECOND_FACTOR_KEY)


def _bound_to() -> bytes:
    owner = _owner.get() or context.request.user.pk
    return f"second factor of {owner}".encode()
