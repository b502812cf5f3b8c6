"""Moves waiting requests to a lower class, by an operator.

The record changes first, and the queue after its commit. If something dies in between, the sweeper
repairs it: each waiting request is in the class of its record. A request that has begun meanwhile
is finished where it is; if it has to begin anew, it waits in the lower class.
"""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

import msgspec
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.trail.record import act
from inference import classes
from inference.models import Completion
from inference.order import Item
from inference.queue.client import client
from inference.queue.fair_queue import DEMOTE, prefix, run_blocking
from inference.queue_control.cancelling import Chosen
from inference.record.recorded_requests import recorded_order

LOOK_AT = 200  # requeued items at the head of a line
BATCH = 5_000  # lowered ones that one round of the sweeper compares


def lower(chosen: Chosen, to: str, *, by: str) -> int:
    """Move them. Returns how many. Raises ValidationError for a class that is not lower."""
    _check(chosen.klass, to)
    with transaction.atomic():
        ids = _record(chosen, to)
        if ids:
            detail = {"pool": chosen.pool, "from": chosen.klass, "to": to, **chosen.detail(ids)}
            act(Action.QUEUE_LOWER, actor=by, tenant_id=chosen.tenant_id, detail=detail)
        items = [item for item in chosen.items if UUID(item.id) in ids]
        transaction.on_commit(partial(demote, chosen.pool, items, to), robust=True)
    return len(ids)


def _check(klass: str, to: str) -> None:
    below = [name for name in classes.names() if classes.rank(name) > classes.rank(klass)]
    if to not in below:
        text = _("%(to)s is not below %(klass)s. Lower classes are: %(below)s.")
        names = ", ".join(below) or "–"
        raise ValidationError(text % {"to": to, "klass": klass, "below": names})


def _record(chosen: Chosen, to: str) -> set[UUID]:
    rows = Completion.objects.open().filter(
        pk__in=[item.id for item in chosen.items], pool=chosen.pool, klass=chosen.klass
    )
    ids = set(rows.select_for_update(no_key=True).values_list("pk", flat=True))
    Completion.objects.filter(pk__in=ids).update(klass=to, lowered_at=timezone.now())
    return ids


def demote(pool: str, items: Sequence[Item], to: str) -> list[int]:
    """Move items in the queue. Returns 1 for each that waited. Raises redis.RedisError."""
    if not items:
        return []
    moved: list[int] = run_blocking(DEMOTE, pool, to, LOOK_AT, *map(str, items))
    return moved


# The sweeper ------------------------------------------------------------------------------------
def mend_lowered() -> None:
    """Move waiting requests to the class of their record. Raises redis.RedisError."""
    lowered = Completion.objects.open().filter(lowered_at__isnull=False).order_by("-lowered_at")
    by_pool: dict[str, list[Completion]] = {}
    for completion in lowered[:BATCH]:
        by_pool.setdefault(completion.pool, []).append(completion)
    for pool, completions in by_pool.items():
        for completion, klass in _elsewhere(pool, completions):
            if record := recorded_order(completion.pk):
                item = msgspec.structs.replace(record[1].item, klass=klass)
                demote(pool, [item], completion.klass)


def _elsewhere(pool: str, completions: list[Completion]) -> list[tuple[Completion, str]]:
    ids = [str(completion.pk) for completion in completions]
    with client().pipeline(transaction=True) as ask:
        ask.hmget(f"{prefix(pool)}:lower", ids)
        ask.hmget(f"{prefix(pool)}:on", ids)
        lower, on = ask.execute()
    waiting = [
        (completion, klass.decode() if klass else classes.names()[0])
        for completion, klass, runner in zip(completions, lower, on, strict=True)
        if runner is None
    ]
    return [(completion, klass) for completion, klass in waiting if klass != completion.klass]
