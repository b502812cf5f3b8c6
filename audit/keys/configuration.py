"""Secrets that stand in the configuration, such as engines' credentials: `sealed:` and base64.

Under a key that is derived from the platform's secret, which is kept under the master key and
outlives its exchange. Each is bound to the name that it was encrypted for: a pool's.
"""

import base64
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from audit.keys.cipher import Cipher, Unreadable

PREFIX = "sealed:"


def seal(secret: str, name: str) -> str:
    ciphertext = _cipher().encrypt(secret.encode(), _aad(name))
    return PREFIX + base64.b64encode(ciphertext).decode()


def opened(value: str, name: str) -> str:
    """The secret; a value that is not encrypted as it stands. Raises Unreadable."""
    if not value.startswith(PREFIX):
        return value
    try:
        ciphertext = base64.b64decode(value.removeprefix(PREFIX), validate=True)
    except ValueError:
        raise Unreadable("not what seal_secret printed") from None
    return _cipher().decrypt(ciphertext, _aad(name)).decode()


def _cipher() -> Cipher:
    return Cipher(UUID(int=0), AESGCM(settings.CONFIGURATION_KEY))


def _aad(name: str) -> bytes:
    return b"configuration|" + name.encode()
