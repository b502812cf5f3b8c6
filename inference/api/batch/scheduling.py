"""Chooses the batches of a driver when more are due than it may have: tenants take turns."""

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

LOOKED_AT = 1_000  # due batches
TURN_S = 60.0  # a batch is driven at least so long before it gives way to another tenant's


def take(most: int, has: Counter[UUID]) -> list[Batch]:
    """Lease due batches. `has` counts the driver's batches of each tenant."""
    with transaction.atomic():
        chosen = [pk for pk, _tenant in due_in_turn(has)[:most]]
        unleased = Batch.objects.due().filter(pk__in=chosen).select_for_update(skip_locked=True)
        leased = [batch.pk for batch in unleased]
        lease = {"leased_until": Now() + running.LEASE, "lease": uuid4()}
        Batch.objects.filter(pk__in=leased).update(**lease)
    return list(Batch.objects.filter(pk__in=leased).select_related("api_key", "tenant"))


def due_in_turn(has: Counter[UUID]) -> list[tuple[UUID, UUID]]:
    """Returns due batches and their tenants, first of the tenants with the fewest batches here."""
    turn = Window(RowNumber(), partition_by="tenant_id", order_by="due_at")
    rows = Batch.objects.due().annotate(turn=turn).order_by("turn", "due_at")
    rows_ = list(rows.values_list("pk", "tenant_id", "turn")[:LOOKED_AT])
    rows_.sort(key=lambda row: row[2] + has[row[1]])
    return [(pk, tenant) for pk, tenant, _turn in rows_]


def runs_to_stop(runs: Sequence[BatchRun], due: Sequence[tuple[UUID, UUID]]) -> list[BatchRun]:
    """Returns the runs that give way to batches of tenants with none here, or two fewer.

    They are runs of the tenants with the most, after their turns.
    """
    candidates = [run for run in runs if not run.is_stopped]
    has, since = Counter(run.batch.tenant_id for run in runs), time.monotonic() - TURN_S
    stopping = list[BatchRun]()
    for _pk, tenant in due[len(runs) - len(candidates) :]:
        fewer = has[tenant] + bool(has[tenant])
        may = [r for r in candidates if r.began <= since and has[r.batch.tenant_id] > fewer]
        if not may:
            break  # later tenants have at least as many here
        first = max(may, key=lambda run: (has[run.batch.tenant_id], -run.began))
        candidates.remove(first)
        stopping.append(first)
        has.update({tenant: 1, first.batch.tenant_id: -1})
    return stopping
