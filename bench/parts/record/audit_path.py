"""A request's two moments on the record, as intake and runner write them."""

import time
from dataclasses import dataclass
from time import perf_counter
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection

from audit.keys.keyring import Cipher, keyring
from audit.trail.group_commit import GroupCommit
from bench.parts.record.admission_report import MODEL
from inference import request_id
from inference.order import Order
from inference.record import statements
from inference.record.commits import RECORD_PATIENCE_S
from inference.record.statements import Outcome
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


@dataclass(frozen=True, slots=True)
class Caller:
    tenant_id: UUID
    subject_id: UUID
    api_key_id: UUID
    client_ip: str


def callers(*, quotas: bool = True) -> list[Caller]:
    keys = ApiKey.objects.filter(tenant__quotas__isnull=not quotas).distinct().order_by("id")
    return [
        Caller(key.tenant_id, key.subject_id, key.id, f"10.1.0.{n % 250}")
        for n, key in enumerate(keys)
    ]


def make_old_completions(number: int) -> None:
    """Make the completions of a platform in use: PostgreSQL plans to read empty tables whole."""
    with connection.cursor() as cursor:
        cursor.execute(_OLD, [MODEL, ROUTE, number])
        cursor.execute("analyze")


class RecordPath:
    """Writes requests onto the record: texts are encrypted, and a receipt is signed."""

    def __init__(self) -> None:
        dsn = settings.DATABASE_URL
        self._received = GroupCommit(dsn, statements.RECEIVED, patience_s=RECORD_PATIENCE_S)
        self._settled = GroupCommit(dsn, statements.SETTLED, patience_s=SETTLE_PATIENCE_S)

    async def close(self) -> None:
        await self._received.close()
        await self._settled.close()

    def order(self, caller: Caller) -> Order:
        now = time.time()
        return Order(
            id=request_id.new(),
            tenant_id=caller.tenant_id,
            subject_id=caller.subject_id,
            actor=f"key:{caller.api_key_id}",
            client_ip=caller.client_ip,
            model=MODEL,
            route=ROUTE,
            chat=True,
            stream=False,
            include_usage=False,
            reply_to="bench",
            outlives_reader=False,
            body=BODY,
            created_at=now,
            deadline=now + 60,
            estimate=600,
            weight=1,
            charge=Charge(
                api_key_id=caller.api_key_id,
                prompt_tokens=300,
                completion_tokens=256,
                prompt_price=2.0,
                cached_price=0.5,
                completion_price=8.0,
            ),
        )

    async def receive(self, order: Order) -> float:
        """Returns the milliseconds until it is durable and its receipt is signed."""
        began = perf_counter()
        cipher = await self._cipher(order)
        row = statements.received_row(order, statements.encrypted_order(order, cipher))
        await self._received.write(row)
        bytes(statements.receipt(order, row["payload_sha256"]))
        return (perf_counter() - began) * 1000

    async def settle(self, order: Order) -> None:
        cipher = await self._cipher(order)
        await self._settled.write(statements.settled_row(order, OUTCOME, cipher, time.time()))

    async def _cipher(self, order: Order) -> Cipher:
        return await keyring.of_subject(order.tenant_id, order.subject_id)
