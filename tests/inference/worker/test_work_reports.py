"""Tenants pay for tokens while they come, and in the end for exactly what there was."""

import asyncio
from typing import Any

import pytest

from inference.order import Order
from inference.queue.fair_queue import AHEAD, prefix
from inference.worker import work_reports
from tests.inference.orders import chunk, usage
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine, Step

TOKENS = 100
LONG: list[Step] = [[chunk("a")] * TOKENS, 0.4, [chunk(finish="stop"), usage(7, TOKENS)]]
PAUSED: list[Step] = [[chunk("a")] * TOKENS, 30.0]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_reports, "EVERY_S", 0.02)


async def paid(bench: Bench, order: Order) -> float:
    name = f"{prefix(bench.pool)}:{order.klass}:counters"
    found = await bench.link.call("HGET", name, str(order.tenant_id))
    return float(found or 0)


async def kept(bench: Bench) -> Any:
    return await bench.link.call("HGETALL", f"{prefix(bench.pool)}:charged")


async def test_while_they_come_and_exactly_in_the_end(bench: Bench) -> None:
    (order,) = await bench.submit(estimate=8000)
    bench.start(ScriptedEngine(LONG))
    await until(lambda: kept(bench))
    assert 2 * TOKENS <= await paid(bench, order) <= 2 * TOKENS + len(order.body) // 4
    await bench.settled(1)
    await until(lambda: _is(bench, order, 7 + 2 * TOKENS))
    assert not await kept(bench)


async def _is(bench: Bench, order: Order, cost: float) -> bool:
    return await paid(bench, order) == cost


async def test_a_weight_of_four_pays_a_quarter(bench: Bench) -> None:
    (order,) = await bench.submit(weight=4)
    bench.start(ScriptedEngine(LONG))
    await until(lambda: kept(bench))
    assert await paid(bench, order) <= (2 * TOKENS + len(order.body) // 4) / 4
    await bench.settled(1)
    await until(lambda: _is(bench, order, (7 + 2 * TOKENS) / 4))


async def test_a_short_answer_is_charged_as_it_begins_and_ends(bench: Bench) -> None:
    (order,) = await bench.submit(estimate=8000)
    await bench.queue.pop(1, "dead")
    assert await paid(bench, order) == AHEAD
    await bench.leases_run_out()
    assert await paid(bench, order) == 0
    bench.start(ScriptedEngine([[chunk("a")], 0.2, [chunk(finish="stop"), usage(5, 1)]]))
    await bench.settled(1)
    await until(lambda: _is(bench, order, 7))


async def test_a_dead_runners_charges_are_given_back(bench: Bench) -> None:
    (order,) = await bench.submit()
    runner = bench.start(ScriptedEngine(PAUSED))
    await until(lambda: kept(bench))
    runner.parts.work_reports.stop()
    runner.stop()
    await bench.leases_run_out()
    assert await paid(bench, order) == 0
    assert not await kept(bench)
    await bench.queue.report_work({order.item: 5000})  # which it may still say
    await asyncio.sleep(0)
    assert await paid(bench, order) == 0
