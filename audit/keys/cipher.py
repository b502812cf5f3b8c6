"""AES-256-GCM under one key, with each ciphertext bound to its place. Needs no database or
settings.
"""

import secrets
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12


class Unreadable(Exception):
    """The key is gone, or the ciphertext was not encrypted here."""


class Barred(Unreadable):
    """The key is withheld on purpose: the person was erased, or their data is restricted."""


class Wrapped(NamedTuple):
    by: UUID
    ciphertext: bytes


class Cipher(NamedTuple):
    """An unwrapped key.

    `aad` names the ciphertext's place: tenant, table, row and field. `key_id` names the key's
    version, and is part of the additional data.
    """

    key_id: UUID
    aesgcm: AESGCM

    def encrypt(self, text: bytes, aad: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE)
        return nonce + self.aesgcm.encrypt(nonce, text, self.key_id.bytes + aad)

    def decrypt(self, ciphertext: bytes, aad: bytes) -> bytes:
        try:
            return self.aesgcm.decrypt(
                ciphertext[:NONCE], ciphertext[NONCE:], self.key_id.bytes + aad
            )
        except (InvalidTag, ValueError):
            raise Unreadable("not encrypted with this key for this place") from None
