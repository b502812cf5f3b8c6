"""Master keys in FOREBAY_HOME/secrets/master.key: the current one first, older ones below it.

The file is read at each use (a process unwraps each tenant's key only once in a while), so a new
key takes effect in every process at once, without a restart.
"""

import base64
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from audit.keys.master_keys.keeper import MasterKeyAway, MasterKeyProblem
from audit.keys.master_keys.private_file import exclusive, make_once, replace
from audit.keys.master_keys.raw import SIZE, RawKeys, decoded, fingerprint

_REMEDY = "restore FOREBAY_MASTER_KEY or {} from your backup"


class FileKeys(RawKeys):
    def __init__(self, path: Path) -> None:
        self._path = path

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
        return [decoded(line, remedy) for line in lines]

    def renew(self) -> UUID:
        """Puts a new key above the others, which stay until an operator removes their lines."""
        new = secrets.token_bytes(SIZE)
        with exclusive(self._path):
            replace(self._path, "".join(map(_encoded, [new, *self.keys()])))
        return fingerprint(new)


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode() + os.linesep
