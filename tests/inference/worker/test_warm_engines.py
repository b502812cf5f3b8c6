"""Two runners of a pool: turns go to the engine that had the last one, and on if it fails."""

from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest

from audit.keys.keyring import keyring
from inference.engines.base import EngineAway
from inference.metrics.work import WARM
from inference.queue import prefix_hashes
from inference.queue.fair_queue import prefix
from inference.record import request_rows
from inference.worker import runner
from tests.inference.orders import an_order, chunk, usage
from tests.inference.queue.warm_fleet import in_force
from tests.inference.running import Bench, in_database, until
from tests.inference.scripted import ScriptedEngine, Step

QUICK: list[Step] = [[chunk("Hello")], [chunk(finish="stop"), usage(5, 1)]]
LONG = "Read this. " * 200
AWAY: list[Step] = [EngineAway("the engine does not answer")]


class TwoEngines:
    def __init__(self, bench: Bench) -> None:
        self.bench, self.messages = bench, list[dict[str, str]]()
        self.engines = [self._engine(number) for number in (1, 2)]

    def _engine(self, number: int) -> ScriptedEngine:
        engine = ScriptedEngine(QUICK)
        pool = self.bench.pool
        engine.config = replace(engine.config, name=pool, id=f"{pool}.{number}")
        self.bench.start(engine)
        return engine

    async def idle(self) -> None:
        async def both() -> bool:
            parked = await self.bench.link.call("SCARD", f"{prefix(self.bench.pool)}:parked")
            return int(parked) == 2

        await until(both)

    async def ask(self) -> ScriptedEngine:
        """The next turn of a conversation. Returns the engine that answered it."""
        bench, before = self.bench, [len(engine.asked) for engine in self.engines]
        self.messages.append({"role": "user", "content": LONG})
        body = orjson.dumps({"model": "theirs", "messages": self.messages, "stream": True})
        order = an_order(tenant_id=bench.acme.id, model=bench.pool, body=body)
        await in_database(bench._record)(order)
        cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
        ciphertext = request_rows.encrypted_order(order, cipher)
        await bench.queue.join(order.item, ciphertext, prefix_hashes.of_order(order, order.klass))
        await bench.settled(len(self.messages))
        asked = [e for e, n in zip(self.engines, before, strict=True) if len(e.asked) > n]
        return asked[-1]


@pytest.fixture
async def two(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoEngines]:
    monkeypatch.setattr(runner, "LINGER_S", 30.0)
    with in_force(bench.pool, 2, 4):
        two = TwoEngines(bench)
        await two.idle()
        yield two


async def test_turns_go_to_the_engine_that_has_the_earlier_ones(two: TwoEngines) -> None:
    first = await two.ask()
    hits = WARM.of(two.bench.pool, "hit")
    before = hits.value
    for _ in range(4):
        await two.idle()
        assert await two.ask() is first
    assert hits.value == before + 4


async def test_when_it_fails_another_has_them_at_once_and_from_then_on(two: TwoEngines) -> None:
    first = await two.ask()
    await two.idle()
    first.turns = (AWAY,)
    other = next(engine for engine in two.engines if engine is not first)
    assert await two.ask() in two.engines
    asked = len(first.asked)
    assert asked > 1, "it was asked first"
    assert len(other.asked) == 1
    *_, usage = await two.bench.settled(2)
    assert usage.error_code == ""
    assert usage.duration_ms < 2_000, "no time but that of the engine's own attempts"
    assert await two.ask() is other
    assert len(first.asked) == asked, "nobody waits for it"
