"""A request's two moments on the record, as intake and runner write them."""

import time
from time import perf_counter
from uuid import UUID

import msgspec
import orjson
from django.conf import settings
from django.db import connection

from audit.keys.keyring import Cipher, keyring
from audit.trail.group_commit import GroupCommit
from bench.parts.catalogue import MODEL
from inference import request_id
from inference.order import Order
from inference.record import request_rows, sql_statements
from inference.record.outcome import Outcome
from tenants.models import ApiKey
from tenants.quotas.charge import Charge

ROUTE = "/v1/chat/completions"
KB = 1024
SETTLE_PATIENCE_S = 30.0
BODY = orjson.dumps(
    {"model": MODEL, "messages": [{"role": "user", "content": "w" * (KB - 60)}], "max_tokens": 256}
)
OUTCOME = Outcome(
    prompt_tokens=260,
    completion_tokens=200,
    queue_ms=1,
    ttft_ms=5,
    upstream="llama_cpp",
    text="x" * KB,
    response=b"x" * KB,
)
_OLD = """
    insert into inference_completion
        (id, tenant_id, api_key_id, model, route, stream, state, created_at, settled_at)
    select gen_random_uuid(), k.tenant_id, k.id, %s, %s, false, 'done', now(), now()
    from tenants_apikey k, generate_series(1, %s / (select count(*) from tenants_apikey)) n"""


def orders(*, quotas: bool = True) -> list[Order]:
    """One of each key, to be taken as a pattern."""
    keys = ApiKey.objects.filter(tenant__quotas__isnull=not quotas).distinct().order_by("id")
    return [_order(key, f"10.1.0.{number % 250}") for number, key in enumerate(keys)]


def _order(key: ApiKey, client_ip: str) -> Order:
    return Order(
        id=UUID(int=0),
        tenant_id=key.tenant_id,
        subject_id=key.subject_id,
        actor=f"key:{key.id}",
        client_ip=client_ip,
        model=MODEL,
        route=ROUTE,
        chat=True,
        stream=False,
        include_usage=False,
        reply_to="bench",
        outlives_reader=False,
        body=BODY,
        created_at=0.0,
        deadline=0.0,
        estimate=600,
        weight=1,
        charge=Charge(
            api_key_id=key.id,
            prompt_tokens=300,
            completion_tokens=256,
            prompt_price=2.0,
            cached_price=0.5,
            completion_price=8.0,
        ),
    )


def make_old_completions(number: int) -> None:
    """Make the completions of a platform in use: PostgreSQL plans to read empty tables whole."""
    with connection.cursor() as cursor:
        cursor.execute(_OLD, [MODEL, ROUTE, number])
        cursor.execute("analyze")


class RecordPath:
    """Writes requests onto the record: texts are encrypted, and a receipt is signed."""

    def __init__(self) -> None:
        dsn = settings.DATABASE_URL
        self._received = GroupCommit(
            dsn, sql_statements.RECEIVED, patience_s=settings.FAILOVER_WAIT_S
        )
        self._settled = GroupCommit(dsn, sql_statements.SETTLED, patience_s=SETTLE_PATIENCE_S)

    async def close(self) -> None:
        await self._received.close()
        await self._settled.close()

    async def write(self, pattern: Order) -> float:
        """Returns the milliseconds until it was received: durable, and its receipt signed."""
        now = time.time()
        order = msgspec.structs.replace(
            pattern, id=request_id.new(now), created_at=now, deadline=now + 60
        )
        began = perf_counter()
        row = request_rows.received_row(
            order, request_rows.encrypted_order(order, await self._cipher(order))
        )
        await self._received.write(row)
        bytes(request_rows.receipt(order, row["payload_sha256"]))
        record_ms = (perf_counter() - began) * 1000
        cipher = await self._cipher(order)
        await self._settled.write(request_rows.settled_row(order, OUTCOME, cipher, time.time()))
        return record_ms

    async def _cipher(self, order: Order) -> Cipher:
        return await keyring.of_subject(order.tenant_id, order.subject_id)
