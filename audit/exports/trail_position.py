"""The trail's position when an export began, and whether the trail was whole up to it.

It is read once, before anything else: events sealed later appear in the file as unsealed.
"""

from typing import NamedTuple
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef

from audit import merkle
from audit.models import Checkpoint, PrunedMonth, Seal
from audit.proof.chain import ZERO, CheckpointFacts
from infrastructure.postgres.queries import rows

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
    return Head(*rows(_HEAD, [tenant_id])[0])


def broken_after(tenant_id: UUID, head: Head) -> int | None:
    """Returns the first wrong checkpoint after the tenant's last batch, or None.

    A seal deleted from the end leaves no gap in numbers, but changes the root of its round.
    """
    last = Seal.objects.of_tenant(tenant_id).filter(batch=head.batch).first()
    own = Checkpoint.objects.filter(n=last.checkpoint).first() if last else None
    before = CheckpointFacts.of(own) if own else CheckpointFacts(0, 0, b"", b"", 0)
    seals = Seal.objects.filter(checkpoint=OuterRef("n")).order_by("position")
    later = Checkpoint.objects.filter(n__gt=before.n, n__lte=head.checkpoint).order_by("n")
    for checkpoint in later.annotate(hashes=ArraySubquery(seals.values("hash"))).iterator():
        facts = CheckpointFacts.of(checkpoint)
        holds = facts.previous == (before.digest if before.n else ZERO)
        root = merkle.root([bytes(hash_) for hash_ in checkpoint.hashes])
        if facts.n != before.n + 1 or not holds or facts.root != root:
            return before.n + 1
        before = facts
    return None


def pruned_months() -> frozenset[str]:
    """Returns the months of events that retention has deleted, as "2026-01"."""
    months = PrunedMonth.objects.filter(table="audit_event").values_list("month", flat=True)
    return frozenset(f"{month:%Y-%m}" for month in months)


def months_of(seal: Seal) -> list[str]:
    """Returns the months that the batch overlaps."""
    months, year, month = [], seal.first_at.year, seal.first_at.month
    while (year, month) <= (seal.last_at.year, seal.last_at.month):
        months.append(f"{year:04}-{month:02}")
        year, month = year + month // 12, month % 12 + 1
    return months
