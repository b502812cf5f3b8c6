"""Which requests an operator's act is about: one, or what a tenant has waiting in a class."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from inference.models import Completion
from inference.order import Item
from inference.queue.client import client
from inference.queue.fair_queue import TENANT_LINES, prefix
from inference.record.recorded import recorded_order

MOST_NAMED = 20  # ids that the audit trail gets


@dataclass(frozen=True, slots=True)
class Chosen:
    pool: str
    klass: str
    tenant_id: UUID
    items: tuple[Item, ...]
    more: int = 0  # that wait there besides

    def said(self, ids: Collection[UUID]) -> dict[str, Any]:
        """For the audit trail."""
        named = {"request_ids": sorted(map(str, ids))} if len(ids) <= MOST_NAMED else {}
        return {"requests": len(ids), **named}


def one(pool: str, request_id: UUID) -> Chosen | None:
    """None for one that is over, or is not this pool's, or that nobody can read any more."""
    completion = Completion.objects.open().filter(pk=request_id, pool=pool).first()
    found = recorded_order(request_id) if completion else None
    if completion is None or found is None:
        return None
    item = msgspec.structs.replace(found[1].item, klass=completion.klass)
    return Chosen(pool, completion.klass, completion.tenant_id, (item,))


def of_tenant(pool: str, klass: str, tenant_id: UUID, most: int) -> Chosen:
    """Up to `most`, those that would begin first. Raises redis.RedisError."""
    script = client().register_script(TENANT_LINES.text)
    told = script(keys=[prefix(pool)], args=[str(tenant_id), most, klass])
    _klass, length, _tenants, *items = told[0] if told else (klass, 0, 0)
    found = tuple(Item.parse(item) for item in items[::2])
    return Chosen(pool, klass, tenant_id, found, max(0, length - len(found)))
