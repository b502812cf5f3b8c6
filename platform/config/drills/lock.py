"""One drill at a time, whoever begins it: a row, which a failover keeps as it keeps every other.

A file keeps this host's own processes apart: `forebay drill undo` must not undo what a drill that
still runs has broken.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from audit.models import CheckRun
from infrastructure.postgres import queries
from tenants.scope import system_scope

_NAME = "drills.lock"
_LONGEST = timedelta(hours=3)  # of one that was killed, and let nobody know


class Taken(Exception):
    """Somebody else drills."""


@contextmanager
def here(home: Path) -> Iterator[None]:
    """Keep other processes of this installation's folder from drilling or undoing. Raises Taken."""
    (folder := home / "drill").mkdir(mode=0o700, exist_ok=True)
    file = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        _take_file(file)
        yield
    finally:
        os.close(file)


def _take_file(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Taken("a drill runs on this host; Ctrl-C or SIGTERM ends it and undoes it") from None


@contextmanager
def drilling(by: str) -> Iterator[Callable[[], None]]:
    """Yields `renew`, to be called before each drill. Both raise Taken, with who drills."""
    row = _take(by)
    try:
        yield partial(_renew, row)
    finally:
        with system_scope():
            CheckRun.objects.filter(pk=row.pk).delete()


def release(host: str) -> None:
    """Forget a drill that was begun on a host and killed; one of another host goes on."""
    with system_scope():
        CheckRun.objects.filter(name=_NAME, figures__by__endswith=f"@{host}").delete()


def _take(by: str) -> CheckRun:
    with system_scope(), transaction.atomic():
        queries.lock(_NAME)
        now = timezone.now()
        rows = CheckRun.objects.filter(name=_NAME)
        if held := rows.filter(at__gt=now - _LONGEST).first():
            raise Taken(f"{held.figures['by']} drills since {held.at:%H:%M:%S} UTC")
        rows.delete()  # so that an old one that still lives finds out at its next drill
        return CheckRun.objects.create(name=_NAME, at=now, ok=True, figures={"by": by})


def _renew(row: CheckRun) -> None:
    with system_scope():
        if not CheckRun.objects.filter(pk=row.pk).update(at=timezone.now()):
            raise Taken("this drill waited for too long, and somebody else may drill now")
