"""A request's two moments on the record, as intake and runner write them, and without it."""

import time
from dataclasses import dataclass
from time import perf_counter
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection

from audit.keys.keyring import Cipher, keyring
from audit.trail import record
from audit.trail.fair_line import Row
from audit.trail.group_commit import GroupCommit
from bench.parts.admission import MODEL
from inference.intake import request_id
from inference.intake.context import RECORD_PATIENCE_S
from inference.order import Order
from inference.record import statements
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
AUDIT_OF_RECEIVED = f",{record.RECEIVED}"
AUDIT_OF_SETTLED = f"{record.COMPLETED},"
_OLD = """
    insert into inference_completion
        (id, tenant_id, api_key_id, model, route, stream, state, created_at, settled_at)
    select gen_random_uuid(), k.tenant_id, k.id, %s, %s, false, 'done', now(), now()
    from tenants_apikey k, generate_series(1, %s / (select count(*) from tenants_apikey)) n"""
OF_AUDIT = ("data_key_id", "request", "response", "payload_sha256")


@dataclass(frozen=True, slots=True)
class Asking:
    tenant_id: UUID
    subject_id: UUID
    api_key_id: UUID
    client_ip: str


@dataclass(slots=True)
class Write:
    received: bool  # or settled
    began: float  # perf_counter
    ended: float

    @property
    def ms(self) -> float:
        return (self.ended - self.began) * 1000


def askings(*, quotas: bool = True) -> list[Asking]:
    keys = ApiKey.objects.filter(tenant__quotas__isnull=not quotas).distinct().order_by("id")
    return [
        Asking(key.tenant_id, key.subject_id, key.id, f"10.1.0.{n % 250}")
        for n, key in enumerate(keys)
    ]


def make_old_completions(number: int) -> None:
    """As on a platform in use. On empty tables PostgreSQL plans to read all of them each time."""
    with connection.cursor() as cursor:
        cursor.execute(_OLD, [MODEL, ROUTE, number])
        cursor.execute("analyze")


class On:
    """With everything: texts are encrypted, and a receipt is signed."""

    received, settled = statements.RECEIVED, statements.SETTLED

    def __init__(self) -> None:
        dsn = settings.DATABASE_URL
        self._received = GroupCommit(dsn, self.received, patience_s=RECORD_PATIENCE_S)
        self._settled = GroupCommit(dsn, self.settled, patience_s=SETTLE_PATIENCE_S)

    async def close(self) -> None:
        await self._received.close()
        await self._settled.close()

    def order(self, who: Asking) -> Order:
        now = time.time()
        return Order(
            id=request_id.new(),
            tenant_id=who.tenant_id,
            subject_id=who.subject_id,
            actor=f"key:{who.api_key_id}",
            client_ip=who.client_ip,
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
                api_key_id=who.api_key_id,
                prompt_tokens=300,
                completion_tokens=256,
                prompt_price=2.0,
                cached_price=0.5,
                completion_price=8.0,
            ),
        )

    async def receive(self, order: Order) -> Write:
        began = perf_counter()
        row = await self._received_row(order)
        await self._received.write(row)
        self._sign(order, row)
        return Write(True, began, perf_counter())

    async def settle(self, order: Order) -> Write:
        began = perf_counter()
        await self._settled.write(await self._settled_row(order))
        return Write(False, began, perf_counter())

    async def _received_row(self, order: Order) -> Row:
        cipher = await self._cipher(order)
        return statements.received_row(order, statements.encrypted_order(order, cipher))

    async def _settled_row(self, order: Order) -> Row:
        return statements.settled_row(order, OUTCOME, await self._cipher(order), time.time())

    async def _cipher(self, order: Order) -> Cipher:
        return await keyring.of_subject(order.tenant_id, order.subject_id)

    def _sign(self, order: Order, row: Row) -> None:
        bytes(statements.receipt(order, row["payload_sha256"]))


class Off(On):
    """The same statements without their parts of the trail."""

    received = statements.RECEIVED.replace(AUDIT_OF_RECEIVED, "")
    settled = (
        statements.SETTLED.replace(AUDIT_OF_SETTLED, "")
        .replace(statements.OVERRUN, "")
        .replace(statements.LEFT, "coalesce(hosted, false)")
    )

    def __init__(self) -> None:
        for statement in (self.received, self.settled):
            if "audit_" in statement:
                raise AssertionError(f"a part of the trail is left:\n{statement}")
        super().__init__()

    async def _received_row(self, order: Order) -> Row:
        return _without_audit(statements.received_row(order, b""))

    async def _settled_row(self, order: Order) -> Row:
        return _without_audit(statements.settled_row(order, OUTCOME, None, time.time()))

    def _sign(self, order: Order, row: Row) -> None:
        pass


def _without_audit(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in OF_AUDIT}
