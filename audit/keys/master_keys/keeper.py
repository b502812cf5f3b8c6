"""What a kind of master key offers."""

from typing import NamedTuple, Protocol
from uuid import UUID


class MasterKeyProblem(Exception):
    """Ends a start. Its text is one line that says what to do."""


class MasterKeyUnavailable(Exception):
    """A key cannot be unwrapped now. Not gone: nothing may be given up for lost."""


class MasterKeyMissing(MasterKeyUnavailable):
    """It is wrapped under a master key that nobody here has."""


class MasterKeyAway(MasterKeyUnavailable):
    """What keeps the master key does not answer: try again."""


class Wrapped(NamedTuple):
    by: UUID
    ciphertext: bytes


class Keeper(Protocol):
    """One place where master keys live."""

    def current_id(self) -> UUID: ...

    def knows(self, key_id: UUID) -> bool: ...

    def encrypt(self, key: bytes, aad: bytes) -> Wrapped:
        """Under the current one. Raises MasterKeyAway."""

    def decrypt(self, key_id: UUID, ciphertext: bytes, aad: bytes) -> bytes:
        """Raises Unreadable, MasterKeyAway."""

    def renew(self) -> UUID:
        """Makes a new key and makes it the current one. Raises MasterKeyProblem."""
