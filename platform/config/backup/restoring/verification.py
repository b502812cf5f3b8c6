"""A backup is proven by restoring it into a place of its own and looking at what came back."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import psycopg

from config.backup import configured, rollback
from config.backup.kind import Kind
from config.backup.kinds.embedded import Embedded
from config.backup.recovery import Recovered, choose, recovered
from config.backup.restoring import restored_copy
from config.backup.restoring.management import manage
from config.backup.storage.sealed import Unreadable
from config.supervisor.terminal import RunProblem
from console.backups.record import Progress, Verified
from infrastructure.objects.place import StoreError


def verify(home: Path, at: datetime | None = None) -> Verified:
    """Restore the newest backup beside the running database, check it, remove it again.

    A backup that cannot be restored is a finding. Raises RunProblem if another verification runs.
    """
    with _only_one(home):
        begun = time.time()
        try:
            verified = _verified(configured.kind(home), home, begun, at)
        except (RunProblem, StoreError, Unreadable, OSError, psycopg.Error) as problem:
            verified = Verified(findings=[f"it cannot be restored: {problem}"])
        known = Verified.read(home)
        good_at = known.good_at if verified.findings else begun
        verified = replace(verified, at=begun, good_at=good_at, kit_at=known.kit_at)
        if at is None:
            verified.write(home)
    return verified


def put_on_record(verified: Verified) -> None:
    """Store the result in the running platform's database. Raises RunProblem."""
    manage("record_verification", variables={}, text=json.dumps(asdict(verified)))


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    folder = home / "backup"
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / "verify.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for copy in folder.glob("verify.*.copy"):  # its process was killed
            shutil.rmtree(copy, ignore_errors=True)
        yield
    except BlockingIOError:
        raise RunProblem("another verification runs on this home: wait until it ends") from None
    finally:
        os.close(lock)


def _verified(kind: Kind, home: Path, begun: float, at: datetime | None) -> Verified:
    progress = Progress.read(home)
    base = choose(kind, at)
    data = home / "backup" / f"verify.{os.getpid()}.copy"
    try:
        with recovered(kind, base, data, at, is_durable=False) as (url, result):
            checked_from = time.monotonic()
            report = restored_copy.check(url)
            check_s = time.monotonic() - checked_from
    finally:
        shutil.rmtree(data, ignore_errors=True)
    behind = [*_gaps(result), *(_missing_objects(kind, progress) if at is None else [])]
    return Verified(
        base=base.label,
        findings=[*behind, *report["findings"]],
        is_behind=bool(behind),
        rpo_s=_age(result, begun, 0.0 if behind or at else progress.stored_until),
        restore_s=round(result.seconds, 1),
        check_s=round(check_s, 1),
        events=report["events"],
        keys=report["keys_tried"],
    )


def _gaps(result: Recovered) -> list[str]:
    if not result.missing:
        return []
    return [f"{result.missing} segments of the write-ahead log are not in the place"]


def _missing_objects(kind: Kind, progress: Progress) -> list[str]:
    if not isinstance(kind, Embedded):
        return []
    return rollback.missing_objects(
        kind.repository, stored=progress.stored, base=progress.base, witness=progress.witness
    )


def _age(result: Recovered, begun: float, stored_until: float) -> float:
    """Returns by how many seconds the restored data were older than the running ones, at most.

    An idle database has no commit to show that all is there; then what was stored counts.
    """
    last_commit = result.last_commit or datetime.fromisoformat(result.base.ended_at)
    return max(0.0, round(begun - max(last_commit.timestamp(), stored_until), 1))
