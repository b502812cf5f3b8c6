"""A backup is proven by restoring it into a place of its own and looking at what came back."""

import os
import shutil
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from config.backup import restored_copy
from config.backup.kind import Kind
from config.backup.recovery import Recovered, choose, recovered
from config.backup_record import Progress, Verified


def verify(kind: Kind, home: Path, at: datetime | None = None) -> Verified:
    """Restore the newest backup beside the running database, check it, remove it again.

    Raises Problem where it cannot be restored.
    """
    begun = time.time()
    base = choose(kind, at)
    (home / "backup").mkdir(mode=0o755, exist_ok=True)
    data = home / "backup" / f"verify.{os.getpid()}"
    try:
        with recovered(kind, base, data, at) as (url, restored):
            checked_from = time.monotonic()
            report = restored_copy.check(url)
            check_s = time.monotonic() - checked_from
    finally:
        shutil.rmtree(data, ignore_errors=True)
    verified = replace(
        Verified.read(home),
        at=begun,
        base=base.label,
        findings=[*_gaps(restored), *report["findings"]],
        rpo_s=_age(restored, begun, home),
        restore_s=round(restored.seconds, 1),
        check_s=round(check_s, 1),
        events=report["events"],
    )
    if at is None:
        verified.write(home)
    return verified


def _gaps(restored: Recovered) -> list[str]:
    if not restored.missing:
        return []
    return [f"{restored.missing} segments of the write-ahead log were never stored"]


def _age(restored: Recovered, begun: float, home: Path) -> float:
    """Returns by how many seconds the restored data were older than the running ones, at most."""
    last_commit = restored.last_commit.timestamp() if restored.last_commit else 0.0
    return max(0.0, round(begun - max(last_commit, Progress.read(home).stored_until), 1))
