"""Master keys. Each kind of storage is one file; several keys may be known at once.

The current key wraps new keys. The others only unwrap, during a rotation.
"""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from audit.keys.cipher import Unreadable, Wrapped
from audit.keys.master_keys.errors import MasterKeyMissing, MasterKeyProblem
from audit.keys.master_keys.kms import KmsKeys
from audit.keys.master_keys.local import EnvKeys, FileKeys, LocalKeys, older_keys

Variables = Mapping[str, str]
Keeper = FileKeys | EnvKeys | KmsKeys
KINDS: dict[str, type[Keeper]] = {"file": FileKeys, "env": EnvKeys, "kms": KmsKeys}


class MasterKeys:
    """All master keys of this installation: `current` wraps, each unwraps what it wrapped."""

    def __init__(self, current: Keeper, *others: Keeper) -> None:
        self.current, self._all = current, (current, *others)

    def current_id(self) -> UUID:
        return self.current.current_id()

    def knows(self, key_id: UUID) -> bool:
        return any(keeper.knows(key_id) for keeper in self._all)

    def encrypt(self, key: bytes, aad: bytes) -> Wrapped:
        return self.current.encrypt(key, aad)

    def decrypt(self, key_id: UUID, ciphertext: bytes, aad: bytes) -> bytes:
        """Raises Unreadable, MasterKeyMissing, MasterKeyAway."""
        knowing = [keeper for keeper in self._all if keeper.knows(key_id)]
        if not knowing:
            raise MasterKeyMissing(f"no master key {key_id} is known here")
        for keeper in knowing:
            try:
                return keeper.decrypt(key_id, ciphertext, aad)
            except Unreadable:
                continue
        raise Unreadable("not wrapped with this master key")

    def decrypt_at_once(self, key_id: UUID, ciphertext: bytes, aad: bytes) -> bytes | None:
        """Returns what `decrypt` does, with keys in memory; None if a file or a KMS has the key.

        Raises Unreadable.
        """
        local = (keeper for keeper in self._all if isinstance(keeper, LocalKeys))
        opened = (keeper.decrypt_at_once(key_id, ciphertext, aad) for keeper in local)
        return next((key for key in opened if key), None)


def from_environment(variables: Variables, home: Path) -> MasterKeys:
    """Reads the master keys; FOREBAY_MASTER_KEY_FROM names their kind.

    Raises MasterKeyProblem, with one line for an operator.
    """
    default = "env" if variables.get("FOREBAY_MASTER_KEY") else "file"
    kind = variables.get("FOREBAY_MASTER_KEY_FROM") or default
    if kind not in KINDS:
        known = " or ".join(KINDS)
        raise MasterKeyProblem(f"FOREBAY_MASTER_KEY_FROM must be {known}, not {kind!r}")
    others: list[Keeper] = [older_keys(variables)]
    if kind != "kms" and variables.get("FOREBAY_KMS_URL"):
        others.append(KmsKeys.from_environment(variables, home))
    return MasterKeys(KINDS[kind].from_environment(variables, home), *others)
