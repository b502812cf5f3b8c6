"""The writer of a repository: one installation at a time, which reports its position each 15 s.

A restored copy that is started with the same FOREBAY_BACKUP_TO would write its log between that of
the original, and neither could be restored. The second one is refused while the first writes. A
clone of a whole machine passes for the original; the two notice each other by their processes.
"""

import secrets
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from config.backup.storage.repository import Repository
from config.supervisor.terminal import RunProblem
from console.backups.record import Progress
from infrastructure import private_file

_NAME = "writer"
_EVERY_S = 15
_SILENT_S = 120  # then another may write


@dataclass(frozen=True, slots=True)
class Writer:
    """An installation, and what it had stored at a moment: a restore finds what is gone since."""

    installation: str
    host: str
    at: float
    stored: int = 0
    base: str = ""
    witness: dict[str, int] = field(default_factory=dict)
    process: str = ""

    @classmethod
    def read(cls, repository: Repository) -> "Writer | None":
        """Raises StoreError, sealed.Unreadable."""
        try:
            return msgspec.json.decode(repository.get(_NAME), type=cls)
        except FileNotFoundError:
            return None


class Writing:
    """The right of this home to write to a repository."""

    def __init__(self, repository: Repository, home: Path) -> None:
        file = home / "backup" / "installation"
        private_file.make_once(file, secrets.token_hex(16))
        self._repository, self._installation = repository, file.read_text().strip()
        self._process, self._renewed = secrets.token_hex(8), 0.0
        self.stored_before = 0  # up to where this installation, or a clone, had stored

    def renew(self, progress: Progress, now: float) -> None:
        """Say that we write here, each 15 s. Raises RunProblem while another does, StoreError."""
        if now - self._renewed < _EVERY_S:
            return
        self._look_who_wrote(progress, now)
        writer = Writer(
            installation=self._installation,
            host=socket.gethostname(),
            at=now,
            stored=progress.stored,
            base=progress.base,
            witness=progress.witness,
            process=self._process,
        )
        self._repository.put(_NAME, msgspec.json.encode(writer))
        self._renewed = now

    def _look_who_wrote(self, progress: Progress, now: float) -> None:
        writer = Writer.read(self._repository)
        if writer is None:
            self._refuse_lost_place(progress)
        elif writer.installation != self._installation:
            _refuse_another(writer, now)
        elif writer.process != self._process:
            if self._renewed:  # or it is this home's process of before
                self.stored_before = sys.maxsize  # what a clone has stored does not count
            if self._renewed or writer.host != socket.gethostname():
                _refuse_another(writer, now)
            self.stored_before = max(self.stored_before, writer.stored)

    def _refuse_lost_place(self, progress: Progress) -> None:
        """Raises RunProblem where a disk is not mounted: another one would be filled instead."""
        if progress.base and not self._repository.names("base"):
            raise RunProblem(
                "the place has nothing of what was stored there: is its disk mounted? If it was "
                "emptied, `forebay backup now` begins anew"
            )


def _refuse_another(writer: Writer, now: float) -> None:
    silent_s = now - writer.at
    if silent_s < _SILENT_S:
        raise RunProblem(
            f"{writer.host} writes its backups of this database there too, last "
            f"{max(silent_s, 0):.0f} s ago: stop it, or set FOREBAY_BACKUP_TO to another place"
        )
