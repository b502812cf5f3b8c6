"""The state of this home's backups: for metrics, the console and `forebay backup status`.

Two files in FOREBAY_HOME/backup, one written by the process that makes backups, one by
`forebay backup verify`, whose results are in the database as well (CheckRun `VERIFICATION`).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from infrastructure import private_file

VERIFICATION = "backup.verified"


@dataclass(frozen=True, slots=True)
class _Record:
    @classmethod
    def read(cls, home: Path) -> Self:
        """Returns what was recorded, or an empty record."""
        known = {each.name for each in fields(cls)}
        try:
            record: Mapping[str, Any] = json.loads(cls.file(home).read_text())
        except (OSError, ValueError):
            return cls()
        return cls(**{name: value for name, value in record.items() if name in known})

    def write(self, home: Path) -> None:
        file = self.file(home)
        file.parent.mkdir(exist_ok=True)  # PostgreSQL may run as another user, in a folder of it
        private_file.replace(file, json.dumps(asdict(self)))

    @classmethod
    def file(cls, home: Path) -> Path:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Progress(_Record):
    """Moments are seconds since 1970, 0.0 for never."""

    place: str = ""  # FOREBAY_BACKUP_TO; what follows is true of that place
    pid: int = 0
    stored_until: float = 0.0  # a restore would bring back all that was committed before
    stored: int = 0  # the position in the log up to which everything is in the repository
    base: str = ""  # label of the last whole one that the log can be replayed on
    base_at: float = 0.0
    base_bytes: int = 0
    base_s: float = 0.0
    failing_since: float = 0.0
    failure: str = ""
    spool_bytes: int = 0
    gaps: int = 0  # times that the log was lost and a new base made up for it
    witness: dict[str, int] = field(default_factory=dict)  # stored bytes of each witness file

    @classmethod
    def file(cls, home: Path) -> Path:
        return home / "backup" / "progress.json"

    @property
    def is_running(self) -> bool:
        return bool(self.pid) and os.path.exists(f"/proc/{self.pid}")

    def failed(self, reason: str, now: float) -> Self:
        return replace(self, failure=reason, failing_since=self.failing_since or now)

    def went_well(self) -> Self:
        return replace(self, failure="", failing_since=0.0)


@dataclass(frozen=True, slots=True)
class Verified(_Record):
    """The last restore into a place of its own, or the attempt."""

    at: float = 0.0
    good_at: float = 0.0  # the last one without findings
    base: str = ""
    findings: list[str] = field(default_factory=list)
    is_behind: bool = False  # some of what was stored is not there: a new base makes up for it
    rpo_s: float = 0.0  # how much older than the verification the last restored commit was
    restore_s: float = 0.0
    check_s: float = 0.0
    events: int = 0
    keys: int = 0  # data keys with which a text was decrypted
    kit_at: float = 0.0

    @classmethod
    def file(cls, home: Path) -> Path:
        return home / "backup" / "verified.json"

    def __str__(self) -> str:
        if not self.restore_s:
            return "; ".join(self.findings)
        result = "; ".join(self.findings) or "trail, books and keys are as they should be"
        return (
            f"restored {self.base} in {self.restore_s} s, checked {self.events} events in"
            f" {self.check_s} s, at most {self.rpo_s} s old: {result}"
        )
