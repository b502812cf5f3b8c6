"""Master keys of 32 bytes that this process holds, identified by their fingerprints.

They are in FOREBAY_MASTER_KEY and FOREBAY_MASTER_KEYS_OLD (base64, separated by commas), or in
FOREBAY_HOME/secrets/master.key: the current one first, older ones below it.
"""

import base64
import os
import secrets
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.keys.cipher import Cipher, Unreadable, Wrapped
from audit.keys.master_keys.errors import MasterKeyAway, MasterKeyProblem
from infrastructure.private_file import exclusive, make_once, replace

SIZE = 32
OLDER = "FOREBAY_MASTER_KEYS_OLD"
_REMEDY = "restore FOREBAY_MASTER_KEY or {} from your backup"


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


class LocalKeys:
    """Encrypts with the first of `keys()`, decrypts with all of them."""

    def keys(self) -> Sequence[bytes]:
        raise NotImplementedError

    def held(self) -> Sequence[bytes]:
        """Returns the keys that are in memory."""
        raise NotImplementedError

    def decrypt_at_once(self, key_id: UUID, ciphertext: bytes, aad: bytes) -> bytes | None:
        """Returns what `decrypt` does, with the keys in memory; None if it needs another."""
        return _decrypted(self.held(), key_id, ciphertext, aad)

    def current_id(self) -> UUID:
        return fingerprint(self.keys()[0])

    def knows(self, key_id: UUID) -> bool:
        return key_id in map(fingerprint, self.keys())

    def encrypt(self, key: bytes, aad: bytes) -> Wrapped:
        master = self.keys()[0]
        by = fingerprint(master)
        return Wrapped(by, Cipher(by, AESGCM(master)).encrypt(key, aad))

    def decrypt(self, key_id: UUID, ciphertext: bytes, aad: bytes) -> bytes:
        key = _decrypted(self.keys(), key_id, ciphertext, aad)
        if key is None:
            raise Unreadable("not wrapped with this master key")
        return key


def _decrypted(
    masters: Sequence[bytes], key_id: UUID, ciphertext: bytes, aad: bytes
) -> bytes | None:
    for master in masters:
        if key_id == fingerprint(master):
            return Cipher(key_id, AESGCM(master)).decrypt(ciphertext, aad)
    return None


class EnvKeys(LocalKeys):
    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str], home: Path) -> "EnvKeys":
        encoded = variables.get("FOREBAY_MASTER_KEY")
        if not encoded:
            raise MasterKeyProblem(
                "FOREBAY_MASTER_KEY is not set: restore it, or leave FOREBAY_MASTER_KEY_FROM out"
            )
        return cls([decoded(encoded, "restore FOREBAY_MASTER_KEY from your backup")])

    def keys(self) -> Sequence[bytes]:
        return self._keys

    def held(self) -> Sequence[bytes]:
        return self._keys

    def renew(self) -> UUID:
        raise MasterKeyProblem(
            "a master key from the environment is renewed there: move it to "
            "FOREBAY_MASTER_KEYS_OLD, set FOREBAY_MASTER_KEY to 32 new bytes in base64 "
            "(openssl rand -base64 32), restart, and run this again without --new"
        )


def older_keys(variables: Mapping[str, str]) -> EnvKeys:
    """Returns keys that only decrypt; none of them is current."""
    parts = filter(None, (part.strip() for part in variables.get(OLDER, "").split(",")))
    return EnvKeys([decoded(part, f"look at {OLDER}") for part in parts])


class FileKeys(LocalKeys):
    """Reads the file at each use, so that a new key is in effect in every process at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: Sequence[bytes] = ()  # as they were read last

    def held(self) -> Sequence[bytes]:
        return self._held

    @classmethod
    def from_environment(cls, variables: Mapping[str, str], home: Path) -> "FileKeys":
        """Reads the file, which the first start makes."""
        path = home / "secrets" / "master.key"
        if not path.exists() and path.with_name("platform.secret").exists():
            raise MasterKeyProblem(f"{path} is missing: {_REMEDY.format(path)}")
        make_once(path, _encoded(secrets.token_bytes(SIZE)))
        keys = cls(path)
        keys.keys()
        return keys

    def keys(self) -> Sequence[bytes]:
        remedy = _REMEDY.format(self._path)
        try:
            lines = self._path.read_text().split() or [""]
        except OSError as problem:
            raise MasterKeyAway(f"{self._path}: {problem.strerror}") from None
        self._held = keys = [decoded(line, remedy) for line in lines]
        return keys

    def renew(self) -> UUID:
        """Puts a new key above the others, which stay until an operator removes their lines."""
        new = secrets.token_bytes(SIZE)
        with exclusive(self._path):
            replace(self._path, "".join(map(_encoded, [new, *self.keys()])))
        return fingerprint(new)


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode() + os.linesep
