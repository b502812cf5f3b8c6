"""Master keys of 32 bytes that this process holds, identified by their fingerprints."""

import base64
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.keys.cipher import Cipher, Unreadable
from audit.keys.master_keys.keeper import MasterKeyProblem, Wrapped

UNNAMED = UUID(int=0)  # marks keys wrapped before master keys had names, by any of them
SIZE = 32


def fingerprint(key: bytes) -> UUID:
    return UUID(bytes=sha256(b"forebay-master-key/1\n" + key).digest()[:16])


def decoded(text: str, remedy: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != SIZE:
        raise MasterKeyProblem(f"the master key must be 32 bytes in base64: {remedy}")
    return key


class RawKeys:
    """Encrypts with the first of `keys()`, decrypts with all of them."""

    def keys(self) -> Sequence[bytes]:
        raise NotImplementedError

    def current_id(self) -> UUID:
        return fingerprint(self.keys()[0])

    def knows(self, key_id: UUID) -> bool:
        return key_id in (UNNAMED, *map(fingerprint, self.keys()))

    def encrypt(self, key: bytes, aad: bytes) -> Wrapped:
        master = self.keys()[0]
        by = fingerprint(master)
        return Wrapped(by, Cipher(by, AESGCM(master)).encrypt(key, aad))

    def decrypt(self, key_id: UUID, ciphertext: bytes, aad: bytes) -> bytes:
        for master in self.keys():
            if key_id in (UNNAMED, fingerprint(master)):
                try:
                    return Cipher(key_id, AESGCM(master)).decrypt(ciphertext, aad)
                except Unreadable:
                    continue
        raise Unreadable("not wrapped with this master key")

    def renew(self) -> UUID:
        raise MasterKeyProblem(
            "a master key from the environment is renewed there: move it to "
            "FOREBAY_MASTER_KEYS_OLD, set FOREBAY_MASTER_KEY to 32 new bytes in base64 "
            "(openssl rand -base64 32), restart, and run this again without --new"
        )
