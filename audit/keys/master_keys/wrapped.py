"""Errors of master keys, and a key that one of them has wrapped."""

from typing import NamedTuple
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
