"""Long work: each step is done and paid for once, whatever happens to its worker."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import orjson
import pytest
from django.db import connection

from audit.keys.keyring import keyring
from audit.trail.group_commit import GroupCommit, StoreUnavailable
from inference import classes
from inference.classes import CLASSES
from inference.intake.background import Background
from inference.intake.cancellation import Cancellation
from inference.metrics import work
from inference.models import Checkpoint, Completion, Usage
from inference.order import Order
from inference.queue.fair_queue import prefix
from inference.queue.queues import FairQueues
from inference.record import request_rows, settle_unrun, sql_statements
from inference.record.outcome import Outcome
from inference.record.parked import Parked
from inference.record.work_units import WorkUnits
from inference.worker import handlers
from inference.worker.leased_request import LeasedRequest
from inference.worker.recovery import restoring, sweeper
from inference.worker.run import run as run_module
from inference.worker.run.run_checkpoint import LARGEST_STATE, RunCheckpoint
from inference.worker.runner import Runner
from inference.worker.runner_parts import RunnerParts
from inference.worker.stalls import SilenceWatch
from tenants.models import LedgerEntry
from tenants.quotas.charge import Charge
from tests.inference.conftest import forget_pool
from tests.inference.counting import COUNT, GPU_MS, Counting, a_count, done_again
from tests.inference.jobs.works import in_database
from tests.inference.orders import an_order, chunk, usage
from tests.inference.running import Bench, until
from tests.inference.scripted import NO_SESSION, ScriptedEngine, Step

QUICK: list[Step] = [[chunk("Hello"), chunk(finish="stop"), usage(5, 1)]]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "CLASSES", {**CLASSES, "count": COUNT})
    monkeypatch.setitem(handlers.HANDLERS, "count", Counting)
    monkeypatch.setattr(Counting, "lines", [])


async def submit(bench: Bench, order: Order) -> Order:
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    ciphertext = request_rows.encrypted_order(order, cipher)
    await in_database(_receive)(request_rows.received_row(order, ciphertext))
    await bench.queue.enqueue(order.item, ciphertext)
    return order


def _receive(row: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql_statements.RECEIVED, [orjson.dumps([row]).decode()])


async def count(bench: Bench, steps: int, **changes: Any) -> Order:
    own = {"tenant_id": bench.acme.id, "model": bench.pool}
    return await submit(bench, a_count(steps, **own, **changes))


async def reaches(order: Order, step: int) -> Checkpoint:
    """Returns its checkpoint once it has done so many steps."""
    rows = Checkpoint.objects.filter(pk=order.id, step__gte=step)
    checkpoint: Checkpoint = await until(lambda: in_database(rows.first)())
    return checkpoint


async def counted_once(order: Order, steps: int, **fields: Any) -> Usage:
    """It is settled with the cost of each step, and nothing is left of it."""
    row: Usage = await until(lambda: in_database(Usage.objects.filter(pk=order.id).first)())
    assert (row.prompt_tokens, row.completion_tokens) == (steps, 2 * steps)
    assert row.gpu_ms == steps * GPU_MS
    assert {name: getattr(row, name) for name in fields} == fields
    assert done_again(Counting.lines) == []
    await until(lambda: in_database(_swept)(order))
    return row


async def ends_after_a_step(order: Order, patch: pytest.MonkeyPatch, **fields: Any) -> None:
    """However many steps it has done by then, on a slow machine."""
    patch.setattr(Counting, "is_enough", True)
    row = await until(lambda: in_database(Usage.objects.filter(pk=order.id).first)())
    await counted_once(order, row.prompt_tokens, status=200, **fields)


def _swept(order: Order) -> bool:
    """As the sweeper does it each second."""
    Checkpoint.objects.left_over().delete()
    return _no_checkpoint(order)


def _no_checkpoint(order: Order) -> bool:
    return not Checkpoint.objects.filter(pk=order.id).exists()


async def test_it_costs_what_its_steps_took(bench: Bench) -> None:
    """Tokens and GPU-seconds, both priced."""
    charge = Charge(prompt_price=10.0, completion_price=100.0, gpu_price=7_000.0)
    order = await count(bench, 4, charge=charge, reply_to="web-of-counts")
    shown = work.GPU_SECONDS.of(*work.labels(order, "count"))
    before_s = shown.value
    bench.start(ScriptedEngine())
    row = await counted_once(order, 4, attempts=1, preemptions=0, status=200)
    assert shown.value - before_s == 4 * GPU_MS // 1000
    assert row.cost == 4 * 10 + 8 * 100 + round(4 * 1.5 * 7_000)
    assert (
        await in_database(LedgerEntry.objects.get)(request_id=order.id, kind="settle")
    ).cost == row.cost
    (frame,) = await until(lambda: bench.returned("web-of-counts"))
    assert orjson.loads(frame.body) == {"counted": [0, 1, 2, 3]}


async def test_what_a_step_kept_is_unreadable_without_the_persons_key(bench: Bench) -> None:
    order = await count(bench, 99, step_s=0.05)
    bench.start(ScriptedEngine())
    checkpoint = await reaches(order, 2)
    assert b"[0" not in bytes(checkpoint.ciphertext)
    bench.runners[0].stop()


async def test_work_that_fails_costs_the_steps_before(bench: Bench) -> None:
    order = await count(bench, 9, breaks=3)
    bench.start(ScriptedEngine())
    await counted_once(order, 3, status=422, error_code="miscounted")


async def test_a_state_that_is_too_large_ends_the_work(bench: Bench) -> None:
    order = await count(bench, 9, padding=LARGEST_STATE)
    bench.start(ScriptedEngine())
    row = await until(lambda: in_database(Usage.objects.filter(pk=order.id).first)())
    assert (row.status, row.error_code) == (502, "engine_failed")


async def test_a_cancelled_one_costs_what_it_took(bench: Bench) -> None:
    order = await count(bench, 9999)
    bench.start(ScriptedEngine())
    await reaches(order, 3)
    assert await bench.queue.cancel(str(order.id)) == "running"
    row = await until(lambda: in_database(Usage.objects.filter(pk=order.id).first)())
    assert (row.status, row.finish_reason) == (499, "cancelled")
    assert 3 <= row.prompt_tokens < 9999
    await counted_once(order, row.prompt_tokens)


# Workers that die, stop, or are cut off ----------------------------------------------------------
async def test_whose_lease_is_lost_goes_on_elsewhere_after_its_last_step(bench: Bench) -> None:
    """The first worker lives on, and can neither write a step nor settle."""
    order = await count(bench, 30, step_s=0.05)
    bench.start(ScriptedEngine())
    await reaches(order, 3)
    bench.runners[0].stopping = True  # it takes no more
    assert await bench.leases_run_out() == 1
    bench.start(ScriptedEngine())
    await counted_once(order, 30, attempts=2)
    await asyncio.wait_for(bench.drains[0], 30)
    assert await in_database(Usage.objects.count)() == 1


async def test_a_run_that_was_taken_over_writes_no_step(acme: Any, bench: Bench) -> None:
    order = await count(bench, 9)
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    first = await RunCheckpoint.begin(order, cipher)
    assert await first.write(1, b"one", WorkUnits(1), 5)
    second = await RunCheckpoint.begin(order, cipher)
    assert (second.step, second.state(), second.attempts) == (1, b"one", 1)
    assert not await first.write(2, b"two", WorkUnits(2), 5)
    assert await second.write(2, b"TWO", WorkUnits(2), 5)
    third = await RunCheckpoint.begin(order, cipher)
    assert third.state() == b"TWO"


async def test_a_worker_that_stops_puts_it_back(bench: Bench) -> None:
    order = await count(bench, 30, step_s=0.05)
    for stop in range(1, 4):
        runner = bench.start(ScriptedEngine())
        await reaches(order, 3 * stop)
        runner.stop()
        began = time.monotonic()
        await asyncio.wait_for(bench.drains[-1], 30)
        assert time.monotonic() - began < 5, "it waits for one step, not for the work"
        checkpoint = await in_database(Checkpoint.objects.get)(pk=order.id)
        assert (checkpoint.stops, checkpoint.preemptions) == (stop, 0)
    bench.start(ScriptedEngine())
    await counted_once(order, 30, attempts=1, preemptions=0)


async def test_it_is_given_up_after_three_workers_that_died_in_one_step(bench: Bench) -> None:
    order = await count(bench, 9)
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    for n in range(5):  # each does a step, then dies
        run = await RunCheckpoint.begin(order, cipher)
        assert run.attempts == 1
        assert await run.write(n + 1, orjson.dumps(list(range(n + 1))), _steps(n + 1), 5)
    for _ in range(3):
        await RunCheckpoint.begin(order, cipher)
    bench.start(ScriptedEngine())
    await counted_once(order, 5, status=500, error_code="worker_lost")


def _steps(n: int) -> WorkUnits:
    return WorkUnits(n, 2 * n, n * GPU_MS)


async def test_redis_loses_everything(bench: Bench) -> None:
    """Also how often it was tried, and what had been taken when it last gave way."""
    order = await count(bench, 30, step_s=0.05)
    runner = bench.start(ScriptedEngine())
    await reaches(order, 3)
    runner.stop()
    await asyncio.wait_for(bench.drains[-1], 30)
    await forget_pool(bench.link, bench.pool)
    await in_database(restoring.enqueue_again)(bench.pool, order.id)
    bench.start(ScriptedEngine())
    await counted_once(order, 30, preemptions=0)


async def test_a_cancellation_on_the_way_back_is_not_lost(bench: Bench) -> None:
    """The note found no run any more, and the queue remembers it."""
    order = await count(bench, 30, step_s=0.05)
    runner = bench.start(ScriptedEngine())
    await reaches(order, 2)
    runner.stop()
    await asyncio.wait_for(bench.drains[-1], 30)
    await bench.link.call("SET", f"{prefix(bench.pool)}:cancelled:{order.id}", 1)
    bench.start(ScriptedEngine())
    row = await until(lambda: in_database(Usage.objects.filter(pk=order.id).first)())
    assert (row.status, row.preemptions) == (499, 0)
    assert 2 <= row.prompt_tokens < 30


async def test_what_could_not_be_settled_goes_on_from_its_last_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await count(bench, 3)

    async def away(*_: Any) -> bool:
        raise StoreUnavailable("PostgreSQL is away")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "settle", away)
        runner = bench.start(ScriptedEngine())
        await reaches(order, 3)
        await until(lambda: _gone_from(bench))
        runner.stop()
        await asyncio.wait_for(bench.drains[-1], 30)
    assert (await in_database(Checkpoint.objects.get)(pk=order.id)).step == 3
    await in_database(restoring.enqueue_again)(bench.pool, order.id)
    bench.start(ScriptedEngine())
    await counted_once(order, 3)


async def _gone_from(bench: Bench) -> bool:
    return not await bench.link.call("HLEN", f"{prefix(bench.pool)}:orders")


async def test_a_worker_that_lost_its_lease_before_it_began_takes_nothing_over(
    bench: Bench,
) -> None:
    order = await count(bench, 9)
    ((item, ciphertext),) = await bench.queue.pop(1, "frozen")
    assert await bench.leases_run_out() == 1
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    holder = await RunCheckpoint.begin(order, cipher)
    place = SimpleNamespace(connections=SimpleNamespace(queue=bench.queue), pool=bench.pool)
    late = LeasedRequest(cast(RunnerParts, place), item, ciphertext)
    assert await late._new_run(order, cipher, bench.pool) is None
    assert await holder.write(1, b"[0]", _steps(1), 5)


async def test_a_request_that_postgresql_has_lost_holds_no_slot(bench: Bench) -> None:
    own = {"tenant_id": bench.acme.id, "model": bench.pool}
    order = a_count(9, **own)
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    await bench.queue.enqueue(order.item, request_rows.encrypted_order(order, cipher))
    bench.start(ScriptedEngine())
    await until(lambda: _gone_from(bench))
    assert Counting.lines == []


async def test_engines_that_are_full_cost_no_attempt(bench: Bench) -> None:
    order = await count(bench, 9)
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    for _ in range(9):
        run = await RunCheckpoint.begin(order, cipher)
        assert run.attempts == 1
        await run.give_attempt_back()


# Higher classes ----------------------------------------------------------------------------------
async def test_it_gives_way_ten_times(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await count(bench, 9999, step_s=0.03)
    bench.start(ScriptedEngine(QUICK, slots=1))
    for times in range(1, 11):
        await _works_on(order)
        own = {"tenant_id": bench.acme.id, "model": bench.pool}
        quick = await submit(bench, an_order(klass="realtime", **own))
        await until(lambda quick=quick: in_database(_is_settled)(quick))  # type: ignore[misc]
        assert (await _gave_way(order, times)).preemptions == times
    await _works_on(order)
    await ends_after_a_step(order, monkeypatch, preemptions=10, attempts=1)


async def _works_on(order: Order) -> None:
    """Wait for a step. While it waits for its slot, a higher class takes that without asking."""
    rows = Checkpoint.objects.filter(pk=order.id)
    before = await in_database(rows.first)()
    await reaches(order, (before.step if before else 0) + 1)


async def _gave_way(order: Order, times: int) -> Checkpoint:
    rows = Checkpoint.objects.filter(pk=order.id, preemptions__gte=times)
    checkpoint: Checkpoint = await until(lambda: in_database(rows.first)())
    return checkpoint


def _is_settled(order: Order) -> bool:
    return Usage.objects.filter(pk=order.id).exists()


async def test_it_goes_on_where_nobody_waits_by_the_end_of_a_step(bench: Bench) -> None:
    order = await count(bench, 20, step_s=0.05)
    runner = bench.start(ScriptedEngine())
    await reaches(order, 1)
    (run,) = runner.requests.running.values()
    assert run.park()
    await counted_once(order, 20, preemptions=0)


async def test_an_exceptional_turn_ends_with_a_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request in a lower class that is owed a turn keeps its slot; hours of work do not."""
    order = await count(bench, 9999, step_s=0.03)
    await bench.link.call("SET", f"{prefix(bench.pool)}:turn:{order.id}", 1)
    bench.start(ScriptedEngine(QUICK, slots=1))
    await reaches(order, 2)
    quick = await submit(bench, an_order(tenant_id=bench.acme.id, model=bench.pool))
    await until(lambda: in_database(_is_settled)(quick))
    await ends_after_a_step(order, monkeypatch, preemptions=1)


async def test_an_engine_is_not_blamed_for_the_silence_of_long_work(bench: Bench) -> None:
    order = await count(bench, 1, step_s=60)
    runner = bench.start(ScriptedEngine())
    await until(lambda: _begins(runner, order))
    (run,) = runner.requests.running.values()
    watch = SilenceWatch(runner.engine, NO_SESSION)
    assert watch.waiting([run]) == []
    run.handler.waits_for_engine = True
    assert watch.waiting([run]) == [run]
    run.cancel()


async def _begins(runner: Runner, order: Order) -> bool:
    run = runner.requests.running.get(str(order.id))
    return run is not None and run.signals.works


# Ends without a worker ---------------------------------------------------------------------------
async def a_kept_one(bench: Bench) -> tuple[Order, Completion]:
    """One that waits in its line, with two steps done."""
    order = await count(bench, 9)
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    run = await RunCheckpoint.begin(order, cipher)
    assert await run.write(2, b"[0,1]", _steps(2), 5)
    await run.note_parking(stops=False)
    return order, await in_database(Completion.objects.get)(pk=order.id)


async def test_past_its_deadline_it_costs_what_it_took(bench: Bench) -> None:
    order, completion = await a_kept_one(bench)
    await in_database(settle_unrun.abort)(completion, order)
    await counted_once(order, 2, status=504, preemptions=1)


async def test_cancelled_by_a_web_process_while_it_waits_it_costs_what_it_took(
    bench: Bench, dsn: str
) -> None:
    order, _ = await a_kept_one(bench)
    commits = GroupCommit(dsn, sql_statements.SETTLED, patience_s=10)
    cancellation = Cancellation(bench.link, FairQueues(bench.link), commits, Background())
    cancellation.cancel(order)
    await counted_once(order, 2, status=499, preemptions=1)
    await commits.close()


async def test_ended_while_it_waits_it_costs_what_it_took(bench: Bench) -> None:
    order, completion = await a_kept_one(bench)
    gone = Outcome(state="cancelled", status=499, finish_reason="cancelled")
    await in_database(settle_unrun.end)(completion, gone)
    await counted_once(order, 2, status=499, preemptions=1)


async def test_what_a_worker_left_of_a_settled_one_is_swept(bench: Bench) -> None:
    order, completion = await a_kept_one(bench)
    await in_database(settle_unrun.end)(completion, Outcome(state="failed", status=503))
    assert not await in_database(_no_checkpoint)(order)
    await in_database(sweeper.sweep_all)()
    assert await in_database(_no_checkpoint)(order)


@pytest.mark.unit
def test_gpu_time_weighs_what_an_answer_would_have_got_in_it() -> None:
    assert WorkUnits(gpu_ms=16_000).total == WorkUnits(completion_tokens=1_000).total
    outcome = Outcome(prompt_tokens=5, completion_tokens=2, gpu_ms=16)
    assert outcome.work_units == WorkUnits(5, 2, 16).total == 5 + 2 * 2 + 2


@pytest.mark.unit
def test_what_an_earlier_version_kept_of_a_parked_one_is_read() -> None:
    before = msgspec.msgpack.encode([2, 7, 5, 6, 100, 200])
    assert msgspec.msgpack.decode(before, type=Parked) == Parked(2, 7, 5, 6, 100, 200)


async def test_gpu_time_alone_is_something(bench: Bench) -> None:
    """A failed one counts as a request, with its cost, in usage and in the ledger."""
    charge = Charge(gpu_price=7_000.0)
    order = await count(bench, 9, breaks=2, tokens=False, charge=charge)
    bench.start(ScriptedEngine())
    row = await until(lambda: in_database(Usage.objects.filter(pk=order.id).first)())
    assert (row.prompt_tokens, row.completion_tokens, row.gpu_ms) == (0, 0, 2 * GPU_MS)
    assert row.cost == 2 * 1.5 * 7_000
    entry = await in_database(LedgerEntry.objects.exclude(kind="reserve").get)(request_id=order.id)
    assert (entry.kind, entry.requests, entry.cost) == ("settle", 1, row.cost)
