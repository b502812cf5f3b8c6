"""When nothing arrives any more: the answer is looked for where else it may be."""

import time
from types import SimpleNamespace
from typing import Any, cast

import orjson
import psycopg
import pytest
from channels.db import database_sync_to_async
from django.db.models import QuerySet

from audit.keys.keyring import keyring
from audit.models import Payload
from inference.intake import answer_stream
from inference.intake.answer_stream import OVERTIME_S, recover
from inference.intake.context import Context
from inference.order import Order
from inference.record import request_rows, sql_statements
from inference.record.outcome import Outcome
from inference.stream.frames import Frame, Kind
from inference.stream.reader_buffer import ReaderBuffer
from inference.stream.writer import Writer
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.conftest import NewLink
from tests.inference.orders import a_frame, an_order, numbers
from tests.unguarded import unguarded

BODY = b'{"choices":[{"message":{"content":"Hello"}}]}'


class Waiting:
    """A request whose answer does not arrive, and what is on record about it."""

    def __init__(self, dsn: str, acme: Tenant, link: RedisLink) -> None:
        self.dsn, self.acme, self.buffer = dsn, acme, ReaderBuffer()
        self.cancelled: list[Order] = []
        self.context = cast(
            Context,
            SimpleNamespace(redis=link, cancellation=SimpleNamespace(cancel=self.cancelled.append)),
        )

    async def order(self, **changes: Any) -> Order:
        order = an_order(tenant_id=self.acme.id, **changes)
        cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
        ciphertext = request_rows.encrypted_order(order, cipher)
        await self._run(sql_statements.RECEIVED, request_rows.received_row(order, ciphertext))
        return order

    async def settle(self, order: Order, **outcome: Any) -> None:
        cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
        row = request_rows.settled_row(order, Outcome(**outcome), cipher, time.time())
        await self._run(sql_statements.SETTLED, row)

    async def _run(self, statement: str, row: Any) -> None:
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as database:
            await database.execute(statement, [orjson.dumps([row]).decode()])

    async def found(self, order: Order) -> list[Frame]:
        await recover(self.context, order, self.buffer)
        frames = []
        while frame := await self.buffer.next(0):
            frames.append(frame)
        return frames


@pytest.fixture
def waiting(dsn: str, acme: Tenant, link: RedisLink) -> Waiting:
    return Waiting(dsn, acme, link)


def code(frame: Frame) -> str:
    return str(orjson.loads(frame.body)["error"]["code"])


async def test_a_stream_that_ended_just_in_time_is_not_late(waiting: Waiting) -> None:
    order = await waiting.order(deadline=time.time() - OVERTIME_S - 1)
    await waiting.settle(order, response=b"Hello", text="Hello")
    assert await waiting.found(order) == []  # its end may be on its way
    assert waiting.cancelled == []


async def test_an_answer_that_is_still_made_is_waited_for(waiting: Waiting) -> None:
    assert await waiting.found(await waiting.order(stream=False)) == []
    assert await waiting.found(await waiting.order()) == []
    assert waiting.cancelled == []


async def test_events_that_were_kept_are_taken_from_there(
    waiting: Waiting, link: RedisLink
) -> None:
    order, out = await waiting.order(), Writer(link)
    out.put(order, a_frame(1, 4, of=order.id))
    out.put(order, a_frame(5, 6, of=order.id, kind=Kind.END))
    await out.drained()
    waiting.buffer.put(a_frame(1, 2, of=order.id))
    found = await waiting.found(order)
    assert [n for frame in found for n in numbers(frame.body)] == [1, 2, 3, 4, 5, 6]
    assert waiting.buffer.finished


async def test_a_whole_answer_is_taken_from_the_record(waiting: Waiting) -> None:
    order = await waiting.order(stream=False)
    await waiting.settle(order, response=BODY, text="Hello")
    (frame,) = await waiting.found(order)
    assert (frame.kind, frame.status, frame.body) == (Kind.BODY, 200, BODY)


async def test_a_failure_is_told_as_one(waiting: Waiting) -> None:
    order = await waiting.order(stream=False)
    await waiting.settle(
        order, state="failed", status=504, error_code="aborted", finish_reason="error"
    )
    (frame,) = await waiting.found(order)
    assert (frame.kind, code(frame)) == (Kind.ERROR, "aborted")


async def test_the_end_of_a_stream_may_come_after_its_record(
    waiting: Waiting, link: RedisLink
) -> None:
    order, out = await waiting.order(), Writer(link)
    waiting.buffer.put(a_frame(1, 2, of=order.id))
    await waiting.settle(order, response=b"Hello", text="Hello")
    await waiting.found(order)
    assert not waiting.buffer.finished
    out.put(order, a_frame(3, 4, of=order.id, kind=Kind.END))
    await out.drained()
    *_, frame = await waiting.found(order)
    assert (frame.kind, waiting.buffer.finished) == (Kind.END, True)


async def test_a_stream_whose_events_are_gone_is_lost(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_stream, "LOST_AFTER_S", 0)
    order = await waiting.order()
    waiting.buffer.put(a_frame(1, 2, of=order.id))
    await waiting.settle(order, response=b"Hello", text="Hello")
    *_, frame = await waiting.found(order)
    assert (frame.kind, code(frame), frame.last) == (Kind.ERROR, "stream_lost", 3)


def _damage(texts: "QuerySet[Payload]") -> None:
    with unguarded():
        texts.update(ciphertext=b"x" * 40)


async def test_an_answer_that_was_erased_is_gone(waiting: Waiting) -> None:
    order = await waiting.order(stream=False)
    await waiting.settle(order, response=BODY, text="Hello")
    changed = Payload.objects.filter(request_id=order.id, field="response")
    await database_sync_to_async(_damage)(changed)
    (frame,) = await waiting.found(order)
    assert frame.kind == Kind.ERROR


async def test_long_after_its_deadline_it_is_given_up(waiting: Waiting) -> None:
    order = await waiting.order(deadline=time.time() - OVERTIME_S - 1)
    (frame,) = await waiting.found(order)
    assert (frame.kind, frame.status, code(frame)) == (Kind.ERROR, 504, "deadline_exceeded")
    assert waiting.cancelled == [order]


async def test_without_redis_the_record_is_still_asked(
    waiting: Waiting, new_link: NewLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_stream, "LOST_AFTER_S", 0)
    order = await waiting.order()
    await waiting.settle(order, response=b"Hello", text="Hello")
    waiting.context.redis = new_link("redis://127.0.0.1:1")
    (frame,) = await waiting.found(order)
    assert code(frame) == "stream_lost"
