"""AES-256-GCM under one key, bound to a place. Knows no database and no settings."""

import secrets
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12


class Unreadable(Exception):
    """The key is gone, or the ciphertext is not what was sealed here."""


class Barred(Unreadable):
    """On purpose: the person was erased, or their data is restricted."""


class Sealer(NamedTuple):
    """An unwrapped key. `place` names tenant, table, row and field; the id names the version."""

    key_id: UUID
    cipher: AESGCM

    def seal(self, text: bytes, place: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE)
        return nonce + self.cipher.encrypt(nonce, text, self.key_id.bytes + place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        try:
            return self.cipher.decrypt(sealed[:NONCE], sealed[NONCE:], self.key_id.bytes + place)
        except (InvalidTag, ValueError):
            raise Unreadable("not sealed with this key for this place") from None
