"""The process that keeps the backups: `python -m config.backup`, a child of the supervisor.

It streams the log, makes a base backup once a day, removes what is older than wanted, and has the
newest backup verified at night.
"""

import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg

from config.backup import bases, retention
from config.backup.bases import StoredBase
from config.backup.cluster import Cluster
from config.backup.storage.repository import Repository
from config.backup.storage.sealed import Unreadable
from config.backup.storage.writer import Writing
from config.backup.verification_schedule import VerificationSchedule
from config.backup.witness_files import WitnessFiles
from config.backup.write_ahead_log.backlog import Backlog
from config.backup.write_ahead_log.log_watch import LogWatch, Look
from config.backup.write_ahead_log.receiver import Receiver
from config.backup.write_ahead_log.shipping import Shipping
from config.backup_settings import Wishes
from config.supervisor.home import Home
from config.supervisor.terminal import RunProblem
from console.backups.record import Progress, Verified
from infrastructure.objects.place import StoreError

log = logging.getLogger(__name__)
_AGAIN_S = 60.0  # after a base backup that failed
_LOOK_S = 300.0  # between two looks whether the last base is still there and of this timeline
_ROOM_BYTES = 512 << 20  # of the disk; log that waits to be stored leaves that to the database
_FAILURES = (StoreError, Unreadable, RunProblem, OSError, psycopg.Error, subprocess.SubprocessError)


class BackupProcess:
    def __init__(
        self,
        home: Path,
        cluster: Cluster,
        repository: Repository,
        wishes: Wishes,
        place: str = "",
    ) -> None:
        self._home, self._cluster = home, cluster
        self._repository, self._wishes = repository, wishes
        self._spool = home / "backup" / "wal"
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._watch = LogWatch(cluster)
        self._receiver = Receiver(cluster, self._spool, synchronous=wishes.synchronous)
        self._shipping = Shipping(repository, cluster, self._spool)
        self._backlog = Backlog()
        self._witness = WitnessFiles(repository, Home(home))
        self._writing = Writing(repository, home)
        self._verifications = VerificationSchedule(home, wishes.verify_at, wishes.zone)
        self._progress = replace(_progress(home, place), pid=os.getpid())
        self._stopped = threading.Event()
        self._base: Future[StoredBase] | None = None
        self._base_after = 0.0  # a failed base is tried again from this moment on
        self._looked_at = 0.0

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        with ThreadPoolExecutor(1, "base-backup") as pool:
            while not self._stopped.wait(self._wishes.look_every_s):
                self._guarded(lambda: self._once(pool))
                self._write_progress()
            self._verifications.stop()
            self._guarded(lambda: self._ship(self._watch.look()))
            self._receiver.stop()
            self._watch.close()
            self._write_progress()

    def _write_progress(self) -> None:
        """Write how far it is. On a full disk the record stays behind, which is an alert."""
        with suppress(OSError):
            self._progress.write(self._home)

    def _guarded(self, act: Callable[[], object]) -> None:
        """Record a failure, and log it once; the next second tries again."""
        try:
            act()
            self._progress = self._progress.went_well()
        except _FAILURES as error:
            if not self._progress.failure:
                log.error("backups fail: %s", error)
            self._progress = self._progress.failed(str(error), time.time())

    def _once(self, pool: ThreadPoolExecutor) -> None:
        look = self._watch.look()
        if self._has_gap(look.slot_state) or self._fills_the_disk():
            self._begin_anew()
            return
        self._receive()
        self._writing.renew(self._progress, time.time())
        self._notice_older_database(look.written)
        self._ship(look)
        if look.slot_state not in ("", "new"):  # a base needs all the log that follows it
            self._make_bases(pool)
        self._verifications.keep(time.time(), self._progress.base_at)
        if self._receiver.failure:
            raise RunProblem(self._receiver.failure)

    def _make_bases(self, pool: ThreadPoolExecutor) -> None:
        if self._base is None:
            if time.time() >= self._base_after and self._base_is_due():
                self._base = pool.submit(bases.take, self._repository, self._cluster)
        elif self._base.done():
            ended, self._base = self._base, None
            self._base_after = time.time() + _AGAIN_S
            base = ended.result()
            self._record(base, took_s=time.time() - base.began_at.timestamp())
            retention.apply(self._repository, time.time() - self._wishes.keep_s)

    def _has_gap(self, slot_state: str) -> bool:
        """Returns whether PostgreSQL has dropped log, or somebody the slot that kept it."""
        return slot_state == "lost" or (not slot_state and bool(self._progress.base))

    def _fills_the_disk(self) -> bool:
        """Returns whether log that waits for the place would soon stop the database.

        A commit that waits for its backup stops it without harm.
        """
        waits = self._progress.spool_bytes > _ROOM_BYTES and not self._wishes.synchronous
        return waits and shutil.disk_usage(self._home).free < _ROOM_BYTES

    def _notice_older_database(self, written: int) -> None:
        """Make a new base if the database was put back by other means: the last is not of it."""
        if self._writing.stored_before > written:
            log.error("the database is older than its backups: a new base backup is made")
            self._writing.stored_before = 0
            self._forget_base()

    def _begin_anew(self) -> None:
        """Make up with a new base for log that was dropped before it was stored."""
        log.error("the write-ahead log has a gap: a new base backup makes up for it")
        self._receiver.stop()
        self._cluster.drop_slot()
        shutil.rmtree(self._spool)
        self._spool.mkdir(mode=0o700)
        self._forget_base()
        self._progress = replace(self._progress, spool_bytes=0, gaps=self._progress.gaps + 1)

    def _receive(self) -> None:
        spool_bytes = sum(file.stat().st_size for file in self._spool.iterdir())
        self._progress = replace(self._progress, spool_bytes=spool_bytes)
        if spool_bytes > self._wishes.spool_bytes and not self._wishes.synchronous:
            self._receiver.stop()
        else:
            self._receiver.keep_running()

    def _ship(self, look: Look) -> None:
        """Store the witness files, then the log that was there before them."""
        self._progress = replace(self._progress, witness=self._witness.ship())
        self._backlog.add(look.at, look.written)
        self._shipping.ship(look.received)
        if look.received is None:
            return
        self._progress = replace(self._progress, stored=look.received)
        until = self._backlog.stored_until(look.received)
        if until and self._progress.base:
            self._progress = replace(self._progress, stored_until=until)

    def _base_is_due(self) -> bool:
        """Returns whether there is none, or an old one, or one that the log does not follow."""
        if time.time() - self._looked_at > _LOOK_S:
            self._looked_at = time.time()
            last = bases.all_bases(self._repository)[-1:]
            if not last or last[0].timeline != self._cluster.timeline() or self._is_behind():
                self._forget_base()
            elif self._progress.base and last[0].label > self._progress.base:
                # `forebay backup now` made it. Before a new base, those of the past do not count.
                self._record(last[0], took_s=0.0)
        return time.time() - self._progress.base_at >= self._wishes.base_every_s

    def _is_behind(self) -> bool:
        """Returns whether a verification since the last base has missed some of what was stored."""
        verified = Verified.read(self._home)
        return verified.is_behind and verified.at > self._progress.base_at

    def _forget_base(self) -> None:
        """Count nothing as stored until there is a new base: the log alone restores nothing."""
        self._progress = replace(self._progress, base="", base_at=0.0)

    def _record(self, base: StoredBase, took_s: float) -> None:
        """Note it as the newest; `took_s` is 0 if that is not known."""
        began = base.began_at.timestamp()
        self._progress = replace(
            self._progress,
            base=base.label,
            base_at=min(began, time.time()),  # the clock may have been ahead
            base_bytes=base.stored_bytes,
            base_s=took_s,
        )


def _progress(home: Path, place: str) -> Progress:
    """Returns the last process's, unless it stored to another place."""
    known = Progress.read(home)
    return known if known.place == place else Progress(place=place, gaps=known.gaps)
