"""The interface of a kind of master key, and its errors."""

from typing import NamedTuple, Protocol
from uuid import UUID


class MasterKeyProblem(Exception):
    """Prevents a start. Its text is one line that tells an operator what to do."""


class MasterKeyUnavailable(Exception):
    """A key cannot be unwrapped now. It is not lost: nothing may be given up because of this."""


class MasterKeyMissing(MasterKeyUnavailable):
    """A key is wrapped under a master key that this installation does not have."""


class MasterKeyAway(MasterKeyUnavailable):
    """The storage of the master key does not answer; try again."""


class Wrapped(NamedTuple):
    by: UUID
    ciphertext: bytes


class Keeper(Protocol):
    """A storage of master keys."""

    def current_id(self) -> UUID: ...

    def knows(self, key_id: UUID) -> bool: ...

    def encrypt(self, key: bytes, aad: bytes) -> Wrapped:
        """Encrypts under the current key. Raises MasterKeyAway."""

    def decrypt(self, key_id: UUID, ciphertext: bytes, aad: bytes) -> bytes:
        """Decrypts with the key of this id. Raises Unreadable, MasterKeyAway."""

    def renew(self) -> UUID:
        """Makes a new key the current one. Raises MasterKeyProblem."""
