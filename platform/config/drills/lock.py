"""One drill at a time, whoever begins it: a row, which a failover keeps as it keeps every other."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

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
def drilling(by: str) -> Iterator[None]:
    """Raises Taken, with who drills and since when."""
    row = _take(by)
    try:
        yield
    finally:
        with system_scope():
            CheckRun.objects.filter(pk=row.pk).delete()


def release() -> None:
    """Forget whoever drilled and was killed."""
    with system_scope():
        CheckRun.objects.filter(name=_NAME).delete()


def _take(by: str) -> CheckRun:
    with system_scope(), transaction.atomic():
        queries.lock(_NAME)
        now = timezone.now()
        held = CheckRun.objects.filter(name=_NAME, at__gt=now - _LONGEST).first()
        if held:
            raise Taken(f"{held.figures['by']} drills since {held.at:%H:%M:%S} UTC")
        return CheckRun.objects.create(name=_NAME, at=now, ok=True, figures={"by": by})
