"""The embedded PostgreSQL: pg_basebackup and pg_receivewal, into a folder or a bucket."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config.backup import bases as stored_bases
from config.backup.bases import StoredBase
from config.backup.cluster import Cluster
from config.backup.feeding import Feeder
from config.backup.kind import Base
from config.backup.storage.repository import Repository
from config.backup.storage.sealed import Unreadable
from config.backup.stored_log import StoredLog
from config.backup.unpacking import unpack
from config.supervisor.embedded.postgres_programs import VERSION, SystemUser
from config.supervisor.terminal import RunProblem
from infrastructure.objects.place import StoreError


@dataclass(frozen=True)
class Embedded:
    repository: Repository
    programs: Path
    user: SystemUser
    superusers_url: str = ""  # of the running cluster; "" for a restore

    def prefix(self, data: Path) -> Sequence[str]:
        return self.user.prefix(data)

    def bases(self) -> Sequence[StoredBase]:
        with _as_problem("the backups cannot be listed"):
            return stored_bases.all_bases(self.repository)

    def take(self) -> StoredBase:
        if not self.superusers_url:
            raise RunProblem(
                "DATABASE_URL names a PostgreSQL of yours, which pgBackRest backs up: set "
                "FOREBAY_BACKUP_TO to pgbackrest:STANZA"
            )
        with _as_problem("the base backup failed"):
            cluster = Cluster.connect(self.superusers_url, self.programs)
            return stored_bases.take(self.repository, cluster)

    @contextmanager
    def put_back(self, base: Base, data: Path, at: datetime | None) -> Iterator[Mapping[str, str]]:
        stored = self._stored(base)
        _refuse_another_version(stored)
        with _as_problem(f"the backup {base.label} cannot be put back"):
            unpack(lambda target: stored_bases.copy_tar(self.repository, stored, target), data)
            self.user.own_tree(data)
            log = StoredLog.read(self.repository)
            timeline = str(log.newest_timeline(stored))
        with self._feeder(log, stored.segment_bytes) as feeder:
            target = {"recovery_target_time": at.isoformat()} if at else {}
            target["recovery_target_timeline"] = timeline
            try:
                yield {"restore_command": feeder.command(data), **target}
            except RunProblem:
                if feeder.error:
                    raise RunProblem(f"the stored log cannot be read: {feeder.error}") from None
                raise

    def missing(self, base: Base) -> int:
        with _as_problem("the backups cannot be listed"):
            return len(StoredLog.read(self.repository).missing_since(self._stored(base)))

    def _stored(self, base: Base) -> StoredBase:
        return next(each for each in self.bases() if each.label == base.label)

    @contextmanager
    def _feeder(self, log: StoredLog, segment_bytes: int) -> Iterator[Feeder]:
        folder = Path(tempfile.mkdtemp(prefix="forebay-log-"))
        self.user.own(folder)
        feeder = Feeder(log, segment_bytes, folder, self.user.own)
        feeder.start()
        try:
            yield feeder
        finally:
            feeder.stop()
            shutil.rmtree(folder, ignore_errors=True)


def _refuse_another_version(base: StoredBase) -> None:
    """Raises RunProblem before hours of copying."""
    if base.postgresql.partition(".")[0] != VERSION:
        raise RunProblem(
            f"{base.label} was made by Forebay {base.forebay} with PostgreSQL {base.postgresql}, "
            f"and this Forebay has PostgreSQL {VERSION}: install that version of Forebay first"
        )


@contextmanager
def _as_problem(what: str) -> Iterator[None]:
    try:
        yield
    except (StoreError, Unreadable, tarfile.TarError, OSError) as error:
        raise RunProblem(f"{what}: {error}") from None
