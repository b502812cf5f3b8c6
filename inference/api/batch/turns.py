"""Which batches a driver has, where more are due than it may have at once: tenants take turns."""

import time
from collections import Counter
from collections.abc import Sequence
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Window
from django.db.models.functions import Now, RowNumber

from inference.api.batch import run as running
from inference.api.batch.run import BatchRun
from inference.models import Batch

LOOKED_AT = 1_000  # batches that are due
TURN_S = 60.0  # so long a batch is driven at least, before it gives way to another tenant's


def take(most: int, has: Counter[UUID]) -> list[Batch]:
    """Batches that are due and that nobody has: from now on they are ours. `has`: how many of each
    tenant's we have.
    """
    with transaction.atomic():
        chosen = [pk for pk, _tenant in due_in_turn(has)[:most]]
        due = Batch.objects.due().filter(pk__in=chosen).select_for_update(skip_locked=True)
        taken = [batch.pk for batch in due]
        mine = {"leased_until": Now() + running.LEASE, "lease": uuid4()}
        Batch.objects.filter(pk__in=taken).update(**mine)
    return list(Batch.objects.filter(pk__in=taken).select_related("api_key", "tenant"))


def due_in_turn(has: Counter[UUID]) -> list[tuple[UUID, UUID]]:
    """Batches and their tenants: first those of whom we have fewest."""
    turn = Window(RowNumber(), partition_by="tenant_id", order_by="due_at")
    rows = Batch.objects.due().annotate(turn=turn).order_by("turn", "due_at")
    found = list(rows.values_list("pk", "tenant_id", "turn")[:LOOKED_AT])
    found.sort(key=lambda row: row[2] + has[row[1]])
    return [(pk, tenant) for pk, tenant, _turn in found]


def who_gives_way(runs: Sequence[BatchRun], due: Sequence[tuple[UUID, UUID]]) -> list[BatchRun]:
    """To batches of tenants of whom we have none, or fewer by two.

    Those of who has most, after their turns.
    """
    goes_on = [run for run in runs if not run.is_stopped]
    has, since = Counter(run.batch.tenant_id for run in runs), time.monotonic() - TURN_S
    found = list[BatchRun]()
    for _pk, tenant in due[len(runs) - len(goes_on) :]:
        fewer = has[tenant] + bool(has[tenant])
        may = [r for r in goes_on if r.began <= since and has[r.batch.tenant_id] > fewer]
        if not may:
            break  # nor for those after it, of whom we have as many at least
        first = max(may, key=lambda run: (has[run.batch.tenant_id], -run.began))
        goes_on.remove(first)
        found.append(first)
        has.update({tenant: 1, first.batch.tenant_id: -1})
    return found
