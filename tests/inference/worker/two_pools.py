"""A model with two pools."""

from typing import Any

import orjson
from channels.db import database_sync_to_async
from django.db import connection

from audit.keys.keyring import keyring
from inference.models import Usage
from inference.order import Order
from inference.record import request_rows, sql_statements
from tests.inference.orders import an_order
from tests.inference.running import Bench

in_database = database_sync_to_async
ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}


class Pools(Bench):
    """`first` and `second` have an engine each, `both` has two; each is named as its runner's."""

    async def put(self, pool: str, **changes: Any) -> Order:
        order = an_order(tenant_id=self.acme.id, model=self.pool, pool=pool, **changes)
        cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
        ciphertext = request_rows.encrypted_order(order, cipher)
        await in_database(self._on_record)(order, ciphertext)
        await self.queue.of(pool).enqueue(order.item, ciphertext)
        return order

    def _on_record(self, order: Order, ciphertext: bytes) -> None:
        with connection.cursor() as cursor:
            row = request_rows.received_row(order, ciphertext)
            cursor.execute(sql_statements.RECEIVED, [orjson.dumps([row]).decode()])

    async def served(self, pool: str, times: int) -> list[Usage]:
        """So many requests, one after the other."""
        before = await in_database(Usage.objects.count)()
        for n in range(times):
            await self.put(pool)
            rows = await self.settled(before + n + 1)
        return rows[-times:]


def second(pools: Pools) -> str:
    return f"{pools.pool}-second"
