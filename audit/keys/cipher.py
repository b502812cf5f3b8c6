"""AES-256-GCM under one key, bound to a place. Knows no database and no settings."""

import secrets
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12


class Unreadable(Exception):
    """The key is gone, or the ciphertext is not what was encrypted here."""


class Barred(Unreadable):
    """On purpose: the person was erased, or their data is restricted."""


class Cipher(NamedTuple):
    """An unwrapped key. `place` names tenant, table, row and field; the id names the version."""

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
