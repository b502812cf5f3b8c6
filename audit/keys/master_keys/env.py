"""Master keys in FOREBAY_MASTER_KEY and FOREBAY_MASTER_KEYS_OLD (base64, separated by commas)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from audit.keys.master_keys.keeper import MasterKeyProblem
from audit.keys.master_keys.raw import RawKeys, decoded

OLDER = "FOREBAY_MASTER_KEYS_OLD"


class EnvKeys(RawKeys):
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


def older_keys(variables: Mapping[str, str]) -> EnvKeys:
    """Returns keys that only decrypt; none of them is current."""
    parts = filter(None, (part.strip() for part in variables.get(OLDER, "").split(",")))
    return EnvKeys([decoded(part, f"look at {OLDER}") for part in parts])
