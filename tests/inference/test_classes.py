"""A second class of work beside completions: one queue, one runner, one kind of books."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from channels.db import database_sync_to_async
from django.db import connection
from pytest_django.fixtures import Settings

from audit.keys.keyring import keyring
from audit.models import Event, Payload
from config.environment import PROJECT
from inference import classes, engines
from inference.classes import CLASSES, WorkClass
from inference.intake.context import Context
from inference.intake.submission import Arrival, Options, read
from inference.intake.submit import submit as submit_to
from inference.models import Completion, State, Usage
from inference.order import Order
from inference.personal_data import erasure
from inference.queue.fair_queue import prefix
from inference.record import limit_usage, request_rows, sql_statements
from inference.stream import frames
from inference.stream.frames import Kind
from inference.validation.requests import Form
from inference.worker import handlers
from tenants.models import ApiKey
from tenants.quotas.charge import Charge
from tenants.rate_limits.admission import concurrency_key
from tenants.rate_limits.held_slots import reacquire
from tests.inference.naps import NAP, Nap, a_nap
from tests.inference.orders import an_order, chunk, usage
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine, Step

in_database = database_sync_to_async
QUICK: list[Step] = [[chunk("Hel"), chunk("lo")], [chunk(finish="stop"), usage(5, 2)]]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a new class of work needs beside its handler's file."""
    monkeypatch.setattr(classes, "CLASSES", {**CLASSES, "nap": NAP})
    monkeypatch.setitem(handlers.HANDLERS, "nap", Nap)


async def submit(bench: Bench, order: Order) -> Order:
    """As intake does it: admitted, on record, queued."""
    await reacquire(bench.link, limit_usage.slot(order), limit_usage.hold_s(order))
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    ciphertext = request_rows.encrypted_order(order, cipher)
    await in_database(_receive)(request_rows.received_row(order, ciphertext))
    await bench.queue.enqueue(order.item, ciphertext)
    return order


def _receive(row: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql_statements.RECEIVED, [orjson.dumps([row]).decode()])


async def nap(bench: Bench, naps: int = 3, **changes: Any) -> Order:
    order = a_nap(naps, tenant_id=bench.acme.id, model=bench.pool, **changes)
    return await submit(bench, order)


async def completion(bench: Bench, **changes: Any) -> Order:
    return await submit(bench, an_order(tenant_id=bench.acme.id, model=bench.pool, **changes))


async def books_are_exact(bench: Bench, orders: list[Order]) -> None:
    """One usage row and one answer each, nothing open, nothing held, nothing in the queue."""
    await until(lambda: _nothing_is_held(bench))
    await in_database(_exactly_once)(orders)


def _exactly_once(orders: list[Order]) -> None:
    ids = sorted(order.id for order in orders)
    assert sorted(Usage.objects.values_list("completion_id", flat=True)) == ids
    for action in ("completion:received", "completion:completed"):
        events = Event.objects.filter(action=action).values_list("request_id", flat=True)
        assert sorted(filter(None, events)) == ids
    assert not Completion.objects.open().exists()


async def _nothing_is_held(bench: Bench) -> bool:
    owner, queue = str(bench.acme.id), prefix(bench.pool)
    slots = [concurrency_key(owner, takes_slot=takes) for takes in (True, False)]
    names = [*slots, f"{queue}:orders", f"{queue}:leases", f"{queue}:on"]
    return not await bench.link.call("EXISTS", *names)


async def running(bench: Bench, order: Order) -> bool:
    return any(str(order.id) in runner.requests.running for runner in bench.runners)


def result(order: Order) -> Usage:
    return Usage.objects.get(completion_id=order.id)


async def test_both_run_beside_each_other_and_the_books_are_exact(bench: Bench) -> None:
    orders = [await kind(bench) for _ in range(5) for kind in (nap, completion)]
    bench.start(ScriptedEngine(QUICK, slots=3))
    rows = {row.completion_id: row for row in await bench.settled(10)}
    for order in orders:
        row = rows[order.id]
        expected = (0, 3) if order.klass == "nap" else (5, 2)
        assert (row.prompt_tokens, row.completion_tokens, row.status) == (*expected, 200)
    await books_are_exact(bench, orders)
    kept = await in_database(_response)(orders[0])
    assert kept == b"zzz"


def _response(order: Order) -> bytes:
    payload = Payload.objects.get(request_id=order.id, field="response")
    place = request_rows.aad(order, "response")
    return keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), place)


@pytest.fixture
async def context(bench: Bench, settings: Settings) -> AsyncIterator[Context]:
    settings.ENGINES = {bench.pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.ADDRESS_PER_MINUTE = 0
    engines.forget()
    opened = Context()
    yield opened
    await opened.close()
    engines.forget()


async def test_a_front_end_asks_for_a_class_by_its_name(bench: Bench, context: Context) -> None:
    _, text = await in_database(ApiKey.issue)(bench.acme, "ci", by="test")
    caller = await context.authenticator.by_key(text)
    body = {"model": bench.pool, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    submission = read(
        caller,
        body,
        100,
        Form.CHAT,
        Arrival("/v1/chat/completions", "198.51.100.7"),
        Options(klass="batch"),
    )
    order = (await submit_to(context, submission)).order
    assert await bench.link.call("EXISTS", f"{prefix(bench.pool)}:batch:active")
    before = await completion(bench)  # of a higher class
    bench.start(ScriptedEngine(QUICK, slots=1))
    assert [row.completion_id for row in await bench.settled(2)] == [before.id, order.id]
    await books_are_exact(bench, [order, before])


async def test_it_waits_for_every_higher_class(bench: Bench) -> None:
    naps = [await nap(bench) for _ in range(3)]
    others = [
        await completion(bench, klass=klass) for klass in ("batch", "realtime") for _ in range(3)
    ]
    bench.start(ScriptedEngine(QUICK, slots=1))
    rows = await bench.settled(9)
    expected = [*others[3:], *others[:3], *naps]
    assert [row.completion_id for row in rows] == [order.id for order in expected]


async def test_its_minimum_share_holds_beside_completions(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {**CLASSES, "nap": WorkClass("nap", handler="nap", minimum_share=0.25, share_after_s=0)}
    monkeypatch.setattr(classes, "CLASSES", table)
    naps = {(await nap(bench)).id for _ in range(3)}
    for _ in range(12):
        await completion(bench)
    bench.start(ScriptedEngine(QUICK, slots=1))
    rows = await bench.settled(15)
    assert [n for n, row in enumerate(rows) if row.completion_id in naps] == [3, 7, 11]


async def test_it_has_a_deadline_of_its_own_and_takes_no_slot(bench: Bench) -> None:
    received = time.time() - 3600
    order = await nap(bench, wakes=9, created_at=received, deadline=NAP.deadline(received))
    owner = str(bench.acme.id)
    assert not await bench.link.call("EXISTS", concurrency_key(owner))
    assert await bench.link.call("ZCARD", concurrency_key(owner, takes_slot=False)) == 1
    bench.start(ScriptedEngine())
    await until(lambda: _nothing_is_held(bench))
    row = await in_database(result)(order)
    assert (row.status, row.error_code) == (504, "deadline_exceeded")
    await books_are_exact(bench, [order])


async def test_while_it_runs_it_can_be_cancelled(bench: Bench) -> None:
    order, other = await nap(bench, wakes=9), await completion(bench)
    bench.start(ScriptedEngine(QUICK))
    await until(lambda: running(bench, order))
    assert await bench.queue.cancel(str(order.id)) == "running"
    await bench.settled(2)
    await books_are_exact(bench, [order, other])
    row = await in_database(result)(order)
    assert (row.finish_reason, row.status) == ("cancelled", 499)
    assert (await in_database(Completion.objects.get)(id=order.id)).state == State.CANCELLED


@pytest.mark.parametrize(
    ("fail", "status", "code"),
    [("knowingly", 422, "sleepless"), ("by a bug", 502, "engine_failed")],
)
async def test_one_that_fails_fails_alone(bench: Bench, fail: str, status: int, code: str) -> None:
    order, other = await nap(bench, fail=fail), await completion(bench)
    bench.start(ScriptedEngine(QUICK))
    await bench.settled(2)
    await books_are_exact(bench, [order, other])
    row = await in_database(result)(order)
    assert (row.status, row.error_code, row.completion_tokens) == (status, code, 3)


async def test_it_is_billed_at_its_price(bench: Bench) -> None:
    charge = Charge(prompt_tokens=4, completion_tokens=10, completion_price=3.0)
    order = await nap(bench, charge=charge)
    bench.start(ScriptedEngine())
    await bench.settled(1)
    await books_are_exact(bench, [order])
    assert (await in_database(result)(order)).cost == 9


async def test_whoever_waits_for_it_gets_its_answer(bench: Bench) -> None:
    order = await nap(bench, reply_to="web-of-naps")
    bench.start(ScriptedEngine())
    await bench.settled(1)
    (frame,) = await until(lambda: bench.returned("web-of-naps"))
    assert (frame.id, frame.kind, frame.body) == (order.id.bytes, Kind.BODY, b'{"naps":3}')


async def test_what_is_kept_of_the_longest_answer_is_erased(bench: Bench) -> None:
    order = await nap(bench, stream=True, created_at=time.time() - 3500)
    await bench.link.call("XADD", frames.history(order.id.bytes), "1-0", "f", b"kept")
    erase = in_database(erasure._purge_events)
    assert await erase(bench.acme.id, order.subject_id) == {"streams": 1}


# Runners that die -------------------------------------------------------------------------------
async def test_whose_lease_is_lost_leaves_no_trace(bench: Bench) -> None:
    order = await nap(bench, wakes=2)
    bench.start(ScriptedEngine())
    await until(lambda: running(bench, order))
    bench.runners[0].stop()  # it takes no more, and finishes what it has
    assert await bench.leases_run_out() == 1
    bench.start(ScriptedEngine())
    await bench.settled(1)
    await asyncio.wait_for(bench.drains[0], 30)
    await books_are_exact(bench, [order])
    row = await in_database(result)(order)
    assert (row.attempts, row.completion_tokens) == (2, 3)


WORKER = """
import django
django.setup()
from tests.inference.naps import work
work({pool!r})
"""


@contextmanager
def worker(pool: str, dsn: str) -> Iterator["subprocess.Popen[str]"]:
    """A runner in a process of its own."""
    told = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "FOREBAY_DATABASE_SCOPE": "system",
        "NAPS_DSN": dsn,
    }
    line = [sys.executable, "-c", WORKER.format(pool=pool)]
    process = subprocess.Popen(
        line, env={**os.environ, **told}, cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.slow(seconds=20)
async def test_a_killed_workers_nap_is_done_again_by_the_next(bench: Bench, dsn: str) -> None:
    orders = [await nap(bench, wakes=2), await nap(bench, wakes=2)]
    with worker(bench.pool, dsn) as process:
        await until(lambda: _leased(bench, 2), 20)
        process.kill()
        process.wait()
    assert not await in_database(Usage.objects.exists)()
    assert await bench.leases_run_out() == 2
    bench.start(ScriptedEngine())
    rows = await bench.settled(2)
    assert {(row.attempts, row.completion_tokens, row.status) for row in rows} == {(2, 3, 200)}
    await books_are_exact(bench, orders)


async def _leased(bench: Bench, n: int) -> bool:
    return bool(await bench.link.call("ZCARD", f"{prefix(bench.pool)}:leases") == n)


async def test_one_that_kills_every_worker_is_given_up(bench: Bench) -> None:
    order = await nap(bench, wakes=9)
    for n in range(3):
        assert len(await bench.queue.pop(1, f"dead-{n}")) == 1
        assert await bench.leases_run_out() == 1
    bench.start(ScriptedEngine())
    (row,) = await bench.settled(1)
    assert (row.status, row.error_code) == (500, "worker_lost")
    await books_are_exact(bench, [order])


# The table --------------------------------------------------------------------------------------
@pytest.mark.unit
def test_the_table_can_be_served() -> None:
    """Names are parts of keys and items in Redis; the highest class is never without a turn."""
    assert next(iter(CLASSES)) == "realtime"
    for name, each in CLASSES.items():
        assert name == each.name
        assert re.fullmatch("[a-z_]+", name)
        assert each.handler in handlers.HANDLERS
    assert sum(each.minimum_share for each in CLASSES.values()) < 1
