"""The requests that an operator acts on: one, or those of a tenant that wait in a class."""

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

MOST_NAMED = 20  # ids in an audit event


@dataclass(frozen=True, slots=True)
class Chosen:
    pool: str
    klass: str
    tenant_id: UUID
    items: tuple[Item, ...]
    more: int = 0  # further waiting ones

    def detail(self, ids: Collection[UUID]) -> dict[str, Any]:
        """Returns the detail of an audit event."""
        listed = {"request_ids": sorted(map(str, ids))} if len(ids) <= MOST_NAMED else {}
        return {"requests": len(ids), **listed}


def one(pool: str, request_id: UUID) -> Chosen | None:
    """Returns the request; None if it is over, in another pool, or unreadable."""
    completion = Completion.objects.open().filter(pk=request_id, pool=pool).first()
    record = recorded_order(request_id) if completion else None
    if completion is None or record is None:
        return None
    item = msgspec.structs.replace(record[1].item, klass=completion.klass)
    return Chosen(pool, completion.klass, completion.tenant_id, (item,))


def of_tenant(pool: str, klass: str, tenant_id: UUID, most: int) -> Chosen:
    """Returns up to `most`, those that would begin first. Raises redis.RedisError."""
    script = client().register_script(TENANT_LINES.text)
    answer = script(keys=[prefix(pool)], args=[str(tenant_id), most, klass])
    _klass, length, _tenants, *items = answer[0] if answer else (klass, 0, 0)
    first = tuple(Item.parse(item) for item in items[::2])
    return Chosen(pool, klass, tenant_id, first, max(0, length - len(first)))
