"""The trail's position when an export began, and whether the trail was whole up to it.

It is read once, before anything else: events sealed later appear in the file as unsealed.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from audit import merkle
from audit.models import Checkpoint, PrunedMonth, Seal
from audit.proof.chain import ZERO, CheckpointFacts
from audit.proof.seal import facts_of

_HEAD = """
    select coalesce((select batch from audit_seal where tenant_id = %s
                     order by batch desc limit 1), 0),
           coalesce((select max(n) from audit_checkpoint), 0),
           coalesce(max(xid), 0), coalesce(max(event_id), 0),
           coalesce(max((select max(id) from unnest(restarts) as restart(id))), 0)
    from audit_sealmark"""


class Head(NamedTuple):
    """The tenant's last batch, the newest checkpoint, and the sealer's mark, all of one moment."""

    batch: int
    checkpoint: int
    xid: int
    event_id: int
    after_id: int


def head_of(tenant_id: UUID) -> Head:
    with connection.cursor() as cursor:
        cursor.execute(_HEAD, [tenant_id])
        return Head(*cursor.fetchone())


def broken_after(tenant_id: UUID, head: Head) -> int | None:
    """Returns the first wrong checkpoint after the tenant's last batch, or None.

    A seal deleted from the end leaves no gap in numbers, but changes the root of its round.
    """
    last = Seal.objects.of_tenant(tenant_id).filter(batch=head.batch).first()
    own = Checkpoint.objects.filter(n=last.checkpoint).first() if last else None
    before = facts_of(own) if own else CheckpointFacts(0, 0, b"", b"", 0)
    for checkpoint, hashes in _rounds(before.n, head.checkpoint):
        facts = facts_of(checkpoint)
        holds = facts.previous == (before.digest if before.n else ZERO)
        if facts.n != before.n + 1 or not holds or facts.root != merkle.root(hashes):
            return before.n + 1
        before = facts
    return None


def _rounds(after: int, last: int) -> Iterator[tuple[Checkpoint, list[bytes]]]:
    seals = Seal.objects.filter(checkpoint__gt=after, checkpoint__lte=last)
    rows = seals.order_by("checkpoint", "position").values_list("checkpoint", "hash").iterator()
    groups = groupby(rows, key=lambda row: row[0])
    n, group = _next(groups)
    for checkpoint in Checkpoint.objects.filter(n__gt=after, n__lte=last).order_by("n").iterator():
        while n < checkpoint.n:
            n, group = _next(groups)
        yield checkpoint, group if n == checkpoint.n else []


def _next(groups: Iterator[Any]) -> tuple[int, list[bytes]]:
    n, rows = next(groups, (2**62, ()))
    return n, [bytes(hash_) for _, hash_ in rows]


class Dropped:
    """Months of events that retention has deleted."""

    def __init__(self) -> None:
        months = PrunedMonth.objects.filter(table="audit_event").values_list("month", flat=True)
        self._months = {f"{month:%Y-%m}" for month in months}

    def of(self, seal: Seal) -> list[str]:
        """Returns the deleted months that the batch overlaps."""
        return [month for month in _months(seal) if month in self._months]

    def took(self, seal: Seal) -> bool:
        """Returns True if no event of the batch can exist any more."""
        return all(month in self._months for month in _months(seal))


def _months(seal: Seal) -> Iterator[str]:
    year, month = seal.first_at.year, seal.first_at.month
    while (year, month) <= (seal.last_at.year, seal.last_at.month):
        yield f"{year:04}-{month:02}"
        year, month = year + month // 12, month % 12 + 1
