"""The key of the backups: one file, FOREBAY_HOME/secrets/backup.key, to be kept apart from them.

Backups are encrypted for it in the format of age (age-encryption.org/v1), so that `age --decrypt`
and `zstd -d` open them without Forebay. The key signs as well: a public key lets anybody encrypt.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config.supervisor.terminal import RunProblem

NAME = "backup.key"
SIGNATURE_BYTES = 64
_PURPOSE = b"forebay backup signature 1"


@dataclass(frozen=True, slots=True)
class BackupKey:
    identity: pyrage.x25519.Identity
    signer: Ed25519PrivateKey

    @classmethod
    def create(cls) -> "BackupKey":
        return cls.from_text(str(pyrage.x25519.Identity.generate()))

    @classmethod
    def from_text(cls, text: str) -> "BackupKey":
        """Raises ValueError unless a line is an age secret key ("AGE-SECRET-KEY-1...")."""
        lines = [line.strip() for line in text.splitlines()]
        secrets = [line for line in lines if line and not line.startswith("#")]
        try:
            (secret,) = secrets
            identity = pyrage.x25519.Identity.from_str(secret)
        except pyrage.IdentityError as error:
            raise ValueError(str(error)) from None
        seed = HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(secret.encode())
        return cls(identity, Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, file: Path) -> "BackupKey":
        """Raises RunProblem for a file that is missing or is no key."""
        try:
            return cls.from_text(file.read_text())
        except FileNotFoundError:
            raise RunProblem(
                f"{file} is missing: no backup opens without the key that it was made with. "
                "Put it back from where you keep it"
            ) from None
        except (OSError, ValueError) as error:
            raise RunProblem(
                f"{file} is no backup key ({error}): put the right one there"
            ) from None

    @property
    def text(self) -> str:
        """Returns the content of the file."""
        return f"# public key: {self.identity.to_public()}\n{self.identity}\n"

    @property
    def fingerprint(self) -> str:
        """Returns 16 hexadecimal digits that name the key and tell nothing of it."""
        return sha256(str(self.identity.to_public()).encode()).hexdigest()[:16]

    def sign(self, name: str, digest: bytes) -> bytes:
        return self.signer.sign(_signed(name, digest))

    def is_signed(self, name: str, digest: bytes, signature: bytes) -> bool:
        try:
            self.signer.public_key().verify(signature, _signed(name, digest))
        except InvalidSignature:
            return False
        return True


def _signed(name: str, digest: bytes) -> bytes:
    return b"\0".join((_PURPOSE, name.encode(), digest))
