"""Encrypts secrets in the configuration, such as engines' credentials: `sealed:` and base64.

Their key is derived from the platform's secret, which is stored under the master key and survives
its rotation. Each secret is bound to the name it was encrypted for (a pool's), and to the origins
it may be sent to, which are part of it: `sealed:https://api.deepseek.com:BASE64`. A secret without
an origin is from an older version, and bound to its name alone.
"""

import base64
from urllib.parse import urlsplit
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from audit.keys.cipher import Cipher, Unreadable

PREFIX = "sealed:"


def encrypt_secret(secret: str, name: str, *urls: str) -> str:
    """Encrypts a secret for a pool whose engines have these addresses."""
    bound_to = ",".join(map(origin, urls))
    ciphertext = _cipher().encrypt(secret.encode(), _aad(name, bound_to))
    return f"{PREFIX}{bound_to}:{base64.b64encode(ciphertext).decode()}"


def origin(url: str) -> str:
    """Returns scheme, host and port of an address, the form in which secrets are bound to it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def is_encrypted(value: str) -> bool:
    return value.startswith(PREFIX)


def decrypt_secret(value: str, name: str, url: str) -> str:
    """Returns the secret for an address; a value that is not encrypted is returned unchanged.

    Raises Unreadable.
    """
    if not is_encrypted(value):
        return value
    bound_to, _colon, encoded = value.removeprefix(PREFIX).rpartition(":")
    if bound_to and origin(url) not in bound_to.split(","):
        raise Unreadable("encrypted for another address")
    try:
        ciphertext = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise Unreadable("not what seal_secret printed") from None
    return _cipher().decrypt(ciphertext, _aad(name, bound_to)).decode()


def _cipher() -> Cipher:
    return Cipher(UUID(int=0), AESGCM(settings.CONFIGURATION_KEY))


def _aad(name: str, bound_to: str) -> bytes:
    """Returns the additional data of a secret.

    It includes the length of the name, so that no other name and origins produce the same bytes.
    """
    if not bound_to:
        return b"configuration|" + name.encode()
    encoded = name.encode()
    return b"configuration/2|%d|%b|%b" % (len(encoded), encoded, bound_to.encode())
