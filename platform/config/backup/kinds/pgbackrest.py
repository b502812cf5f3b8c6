"""A PostgreSQL of one's own, backed up by pgBackRest: it keeps base backups, log and encryption.

FOREBAY_BACKUP_TO=pgbackrest:STANZA. The commands run on a host where pgBackRest is configured, as
the user of PostgreSQL; under root, as `postgres`.
"""

import json
import os
import pwd
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from config.backup.kind import Base
from config.supervisor.terminal import RunProblem

_DEBIAN = Path("/usr/lib/postgresql")
_USER = "postgres"
_FULL_EVERY_S = 6.5 * 24 * 3600  # a nightly timer makes each seventh a full one


@dataclass
class PgBackRest:
    stanza: str

    @property
    def programs(self) -> Path:
        if folder := os.environ.get("FOREBAY_POSTGRES_PROGRAMS"):
            return Path(folder)
        folder_of_debian = _DEBIAN / str(self._info["db"][-1]["version"]) / "bin"
        if not folder_of_debian.exists():
            raise RunProblem(
                f"{folder_of_debian} is missing: set FOREBAY_POSTGRES_PROGRAMS to the folder of "
                "PostgreSQL's programs, of the version that is backed up"
            )
        return folder_of_debian

    def prefix(self, data: Path) -> Sequence[str]:
        return self._as_user

    def bases(self) -> Sequence[Base]:
        return [
            Base(
                label=row["label"],
                ended_at=datetime.fromtimestamp(row["timestamp"]["stop"], UTC).isoformat(),
                stored_bytes=row["info"]["repository"]["delta"],
                content_bytes=row["info"]["size"],
                postgresql=str(self._info["db"][-1]["version"]),
            )
            for row in self._info["backup"]
            if not row.get("error")
        ]

    def take(self) -> Base:
        """Make a full one if the last is a week old, else what has changed since the last of any.

        pgBackRest by itself makes a single full one, and never lets go of what is based on it.
        """
        self._run(f"--type={'full' if self._is_full_due() else 'incr'}", "backup")
        self.__dict__.pop("_info", None)
        return self.bases()[-1]

    @contextmanager
    def put_back(self, base: Base, data: Path, at: datetime | None) -> Iterator[Mapping[str, str]]:
        if self._as_user:
            owner = pwd.getpwnam(_USER)
            os.chown(data, owner.pw_uid, owner.pw_gid)
        target = ["--type=time", f"--target={at.isoformat(sep=' ')}"] if at else ["--type=default"]
        words = [f"--set={base.label}", f"--pg1-path={data}", *target]
        self._run(*words, "restore")
        yield {}  # pgBackRest has written them into postgresql.auto.conf

    def missing(self, base: Base) -> int:
        """Returns 0: pgBackRest refuses a backup whose log has a gap, and `check` finds others."""
        return 0

    def _is_full_due(self) -> bool:
        whole = (row for row in self._info["backup"] if not row.get("error"))
        ends = (row["timestamp"]["stop"] for row in whole if row["type"] == "full")
        return time.time() - max(ends, default=0) > _FULL_EVERY_S

    @property
    def _as_user(self) -> Sequence[str]:
        if os.geteuid():
            return []
        switch = f"setpriv --reuid={_USER} --regid={_USER} --init-groups --pdeathsig=INT --"
        return switch.split()

    @cached_property
    def _info(self) -> Mapping[str, Any]:
        stanzas: list[Mapping[str, Any]] = json.loads(self._run("--output=json", "info"))
        if not (stanzas and stanzas[0].get("db")):
            raise RunProblem(f"pgBackRest knows no stanza {self.stanza}: pgbackrest stanza-create")
        return stanzas[0]

    def _run(self, *words: str) -> str:
        command = [*self._as_user, "pgbackrest", f"--stanza={self.stanza}", *words]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, cwd="/")
        except FileNotFoundError:
            raise RunProblem("pgbackrest is not installed: apt-get install pgbackrest") from None
        if ended.returncode:
            lines = (ended.stderr or ended.stdout).strip().splitlines() or ["it said nothing"]
            raise RunProblem(f"pgbackrest {words[-1]}: {lines[-1]}")
        return ended.stdout
