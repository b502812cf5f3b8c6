"""`forebay restore`: a backup becomes the database of a home.

Everything happens in a folder beside the database's, erasures included; only then it takes the
place. An interruption leaves the home as it was.
"""

import shutil
import time
from datetime import datetime
from pathlib import Path

from config.backup import restored_copy
from config.backup.kind import Kind
from config.backup.kinds.embedded import Embedded
from config.backup.recovery import Recovered, choose, recovered
from config.backup.witness_files import WitnessFiles
from config.backup_record import Progress
from config.supervisor.home import Home
from config.supervisor.terminal import Problem, done, say


class Restoration:
    """The home must be locked: nothing runs on it meanwhile."""

    def __init__(self, home: Home, kind: Kind, data: Path, *, replaces: bool) -> None:
        self._home, self._kind, self._data, self._replaces = home, kind, data, replaces

    def run(self, at: datetime | None, label: str) -> None:
        """Raises Problem; then the home is as it was."""
        if self._data.exists() and not self._replaces:
            raise Problem(
                f"{self._data} has a database: --replace sets it aside, or set FOREBAY_HOME to "
                "another folder"
            )
        base = choose(self._kind, at, label)
        say(f"Restoring {base.label}")
        draft = self._data.with_name(f"{self._data.name}.restored")
        shutil.rmtree(draft, ignore_errors=True)  # of an interrupted restore
        if isinstance(self._kind, Embedded):
            WitnessFiles(self._kind.repository, self._home).take()
        with recovered(self._kind, base, draft, at) as (url, result):
            done(f"restored up to {_moment(result)}")
            restored_copy.erase_again(url)
            done("erased again who was erased since")
            restored_copy.resume_sealing(url, self._home.root / "witness" / "checkpoints.jsonl")
            done("the audit trail is whole, and goes on")
        self._take_place(draft)
        if result.missing:
            say(f"{result.missing} segments of the log were never stored: it ends before them")
        say("Start the platform now. The next base backup is made at once")

    def _take_place(self, draft: Path) -> None:
        if self._data.exists():
            now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            aside = self._data.with_name(f"{self._data.name}.before-{now}")
            self._data.rename(aside)
            say(f"The database of before is in {aside}")
        draft.rename(self._data)
        shutil.rmtree(self._home.root / "backup" / "wal", ignore_errors=True)
        Progress().write(self._home.root)


def _moment(result: Recovered) -> str:
    return result.last_commit.isoformat() if result.last_commit else result.base.ended_at
