"""Five failures in a row open a breaker, one probe is let through, and all processes see it."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.conf import settings

from inference.engines.health import breakers
from inference.engines.health.breakers import Phase, Verb
from infrastructure.redis.link import RedisLink
from tests.inference.conftest import NewLink
from tests.inference.running import until


class Asker:
    """Of one engine, from a process of its own as far as Redis can tell."""

    def __init__(self, link: RedisLink, engine: str) -> None:
        self.link, self.engine = link, engine

    async def report(
        self, verb: Verb, token: str = "t", reason: str = "", open_s: float = 0, **of: Any
    ) -> bool:
        words = breakers.arguments(self.engine, verb, token, reason, open_s, **of)
        answer = await self.link.run(breakers.REPORT, breakers.keys(self.engine), *words)
        return breakers.learn(self.engine, answer)

    async def fail(self, times: int = breakers.FAILURES) -> None:
        for _ in range(times):
            await self.report("failed", reason="it answered 500")

    async def history(self) -> list[str]:
        lines = await self.link.call("LRANGE", breakers.keys(self.engine)[1], 0, -1)
        return [orjson.loads(line)["state"] for line in reversed(lines)]

    def phase(self) -> Phase:
        return breakers.phase(self.engine)


@pytest.fixture
async def asker(link: RedisLink) -> AsyncIterator[Asker]:
    breakers.forget()
    asker = Asker(link, uuid4().hex)
    yield asker
    await link.call("HDEL", breakers.STATES_KEY, asker.engine)
    await link.call("DEL", breakers.keys(asker.engine)[1])
    breakers.forget()


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "OPEN_S", 0.05)


async def test_five_failures_in_a_row_open_it(asker: Asker) -> None:
    await asker.fail(4)
    assert asker.phase() is Phase.CLOSED
    await asker.report("succeeded")
    assert not breakers.has_trouble(asker.engine), "nothing to tell Redis any more"
    await asker.fail(4)
    assert asker.phase() is Phase.CLOSED, "five, but not in a row"
    await asker.fail(1)
    assert asker.phase() is Phase.OPEN
    assert 29 <= breakers.retry_after(asker.engine) <= 30
    assert not await asker.report("probe"), "not before 30 seconds have passed"
    assert await asker.history() == ["open"]


async def test_a_failure_that_is_certain_opens_it_at_once(asker: Asker) -> None:
    """Such as an engine of which nothing comes, whatever it says of its health."""
    await asker.report("failed", tenant="acme", serves_others=True)
    assert asker.phase() is Phase.CLOSED
    await asker.report("failed", "other", at_once=True)
    assert asker.phase() is Phase.OPEN


async def test_a_clock_that_is_set_back_keeps_it_open_no_longer(asker: Asker) -> None:
    """Or another Redis has taken over, whose clock is behind."""
    await asker.fail()
    assert asker.phase() is Phase.OPEN
    await set_back(asker, hours=1)
    assert asker.phase() is Phase.DUE, "not for an hour"
    assert breakers.retry_after(asker.engine) == 1
    assert not await asker.report("probe"), "its 30 seconds begin again"
    assert asker.phase() is Phase.OPEN
    assert 29 <= breakers.retry_after(asker.engine) <= 30
    await set_back(asker, hours=1, due=-30_000)
    assert await asker.report("probe")
    assert asker.phase() is Phase.HALF_OPEN
    await set_back(asker, hours=1)
    assert not await asker.report("probe", "other"), "one is under way"
    await set_back(asker, hours=1, probe_until=-10_000)
    assert await asker.report("probe", "other"), "it died with its worker"


async def set_back(asker: Asker, *, hours: int, **more: int) -> None:
    """The same as that what is known lies so far ahead."""
    link, ahead = asker.link, hours * 3_600_000
    state = orjson.loads(await link.call("HGET", breakers.STATES_KEY, asker.engine))
    for time in ("since", "due", "probe_until"):
        state[time] += ahead + more.get(time, 0)
    await link.call("HSET", breakers.STATES_KEY, asker.engine, orjson.dumps(state))
    breakers.learn_all(await link.run(breakers.STATES, [breakers.STATES_KEY, breakers.CHANGES_KEY]))


async def test_a_request_counts_once_however_often_it_fails(asker: Asker) -> None:
    for attempt in range(8):
        await asker.report("failed", f"{attempt}|100|1|realtime|acme|one")
    assert asker.phase() is Phase.CLOSED
    for n in range(4):
        await asker.report("failed", f"1|100|1|realtime|acme|other-{n}")
    assert asker.phase() is Phase.OPEN


async def test_what_one_tenant_fails_at_does_not_close_it_to_others(asker: Asker) -> None:
    for n in range(20):
        await asker.report("failed", f"1|1|1|c|acme|{n}", tenant="acme", serves_others=True)
    assert asker.phase() is Phase.CLOSED
    await asker.report("failed", "1|1|1|c|umbrella|20", tenant="umbrella", serves_others=True)
    assert asker.phase() is Phase.OPEN, "two tenants, and more than five requests"


async def test_where_only_one_tenant_is_active_its_failures_open_it(asker: Asker) -> None:
    for n in range(5):
        assert asker.phase() is Phase.CLOSED
        await asker.report("failed", f"1|1|1|c|acme|{n}", tenant="acme", serves_others=False)
    assert asker.phase() is Phase.OPEN


async def test_no_connection_is_no_requests_fault(asker: Asker) -> None:
    for n in range(4):
        await asker.report("failed", f"1|1|1|c|acme|{n}", tenant="acme", serves_others=True)
    await asker.report("failed", "1|1|1|c|acme|5", tenant="", serves_others=True)
    assert asker.phase() is Phase.OPEN


async def test_it_stays_open_for_as_long_as_the_service_asked(asker: Asker) -> None:
    await asker.fail(4)
    await asker.report("failed", open_s=90)
    assert 89 <= breakers.retry_after(asker.engine) <= 90


@pytest.mark.usefixtures("briefly")
async def test_its_probe_closes_it_or_opens_it_again(asker: Asker) -> None:
    await asker.fail()
    await asyncio.sleep(0.1)
    assert asker.phase() is Phase.DUE
    assert await asker.report("probe", "first")
    assert asker.phase() is Phase.HALF_OPEN
    await asker.report("succeeded", "one that began before it opened")
    await asker.report("failed", "one that began before it opened")
    assert asker.phase() is Phase.HALF_OPEN
    await asker.report("failed", "first")
    assert not await asker.report("probe", "at once")
    await asyncio.sleep(0.1)
    assert await asker.report("probe", "second")
    await asker.report("succeeded", "second")
    assert not breakers.has_trouble(asker.engine)
    assert await asker.history() == ["open", "half_open", "open", "half_open", "closed"]


@pytest.mark.usefixtures("briefly")
async def test_of_many_runners_exactly_one_sends_the_probe(asker: Asker, new_link: NewLink) -> None:
    """In each of many rounds, whatever happens to the probe and in whichever order they ask."""
    links, dice = [new_link() for _ in range(8)], random.Random(7)
    await asker.fail()
    for round_ in range(12):
        await asyncio.sleep(0.08)
        askers = [(n, Asker(link, asker.engine)) for n, link in enumerate(links * 6)]
        dice.shuffle(askers)
        said = await asyncio.gather(*[a.report("probe", f"{round_}-{n}") for n, a in askers])
        (probe,) = [f"{round_}-{n}" for (n, _), may in zip(askers, said, strict=True) if may]
        await asker.report("failed" if dice.random() < 0.5 else "released", probe)


@pytest.mark.usefixtures("briefly")
async def test_a_probe_whose_worker_dies_is_followed_by_another(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers, "PROBE_S", 0.2)
    await asker.fail()
    await asyncio.sleep(0.1)
    assert await asker.report("probe", "first")
    for _ in range(3):  # it lives
        await asyncio.sleep(0.1)
        await asker.report("renew", "first")
    assert not await asker.report("probe", "second")
    await asyncio.sleep(0.25)
    assert await asker.report("probe", "second")
    await asker.report("succeeded", "first")
    assert asker.phase() is Phase.HALF_OPEN, "the first has no say any more"


async def test_an_operators_word_outranks_what_requests_meet(asker: Asker) -> None:
    await asker.report("force", "olga", "open")
    assert asker.phase() is Phase.OPEN
    await asker.report("succeeded")
    assert not await asker.report("probe")
    assert asker.phase() is Phase.OPEN
    await asker.report("force", "olga", "closed")
    await asker.fail(20)
    assert asker.phase() is Phase.CLOSED
    await asker.report("force", "olga", "")
    await asker.fail()
    assert asker.phase() is Phase.OPEN, "automatic again, and counted from 0"
    assert await asker.history() == ["forced open", "forced closed", "automatic", "open"]


async def test_only_the_last_changes_are_kept(asker: Asker) -> None:
    for _ in range(breakers.HISTORY):
        await asker.report("force", "olga", "open")
    await asker.report("force", "olga", "closed")
    history = await asker.history()
    assert len(history) == breakers.HISTORY
    assert history[-1] == "forced closed"


@pytest.fixture
async def watching() -> AsyncIterator[None]:
    """What every process does."""
    task = asyncio.create_task(breakers.keep_fresh(settings.REDIS_URL))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _elsewhere(asker: Asker, verb: Verb, *words: Any) -> None:
    """In another process: this one does not see the answer."""
    arguments = breakers.arguments(asker.engine, verb, *words)
    await asker.link.run(breakers.REPORT, breakers.keys(asker.engine), *arguments)


async def _is(asker: Asker, phase: Phase) -> bool:
    return asker.phase() is phase


@pytest.mark.usefixtures("watching")
async def test_opened_by_one_process_it_is_open_for_all(asker: Asker) -> None:
    await _elsewhere(asker, "failed", "t", "it answered 500")
    await until(lambda: _has_trouble(asker))
    for _ in range(4):
        await _elsewhere(asker, "failed", "t", "it answered 500")
    await until(lambda: _is(asker, Phase.OPEN))
    assert breakers.open_since(asker.engine)
    await _elsewhere(asker, "force", "olga", "closed")
    await until(lambda: _is(asker, Phase.CLOSED))


async def _has_trouble(asker: Asker) -> bool:
    return breakers.has_trouble(asker.engine)


@pytest.mark.usefixtures("watching")
async def test_what_redis_lost_reads_as_closed(asker: Asker) -> None:
    await asker.fail()
    assert asker.phase() is Phase.OPEN
    await asker.link.call("DEL", breakers.STATES_KEY, breakers.CHANGES_KEY)
    await until(lambda: _is(asker, Phase.CLOSED))
    await asker.fail(1)
    assert asker.phase() is Phase.CLOSED, "counted from 0"
