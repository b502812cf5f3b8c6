"""A base's secret, and what it makes unreadable: vectors, words, digests. All goes with its key.

Texts are encrypted under a key of their document (inference/knowledge/encryption.py).
"""

import hmac
from typing import NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from inference.knowledge import vector_rotation
from inference.knowledge.embedding import Vector
from inference.models import KnowledgeBase

_KEY = 32  # bytes


class BaseSecrets(NamedTuple):
    """The keys of a base. Never stored, and made anew for each use."""

    rotation: bytes
    words: bytes
    digests: bytes

    @classmethod
    def of(cls, base: KnowledgeBase) -> "BaseSecrets":
        """Raises Unreadable once the base's key is destroyed, MasterKeyUnavailable."""
        secret = base.clear_secret
        return cls(*(_derived(secret, name) for name in (b"rotation", b"words", b"digests")))

    def turned(self, vector: Vector) -> Vector:
        return vector_rotation.rotated(vector, self.rotation)

    def word(self, word: str) -> int:
        """Returns the number that stands for a word: 64 bits, with a sign."""
        digest = hmac.digest(self.words, word.encode(), "sha256")
        return int.from_bytes(digest[:8], signed=True)

    def digest(self, sha256: bytes) -> bytes:
        """Returns what stands for the hash of a document's content."""
        return hmac.digest(self.digests, sha256, "sha256")


def _derived(secret: bytes, name: bytes) -> bytes:
    return HKDFExpand(SHA256(), _KEY, b"forebay knowledge " + name).derive(secret)
