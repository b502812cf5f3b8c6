"""The generator of load over HTTP: clients that hang up, and prompts of any length."""

import asyncio
import json

import pytest

from bench.load.generator import HangingUp, Load, LoadReport, Options, prompt
from bench.mock_engine.server import Behaviour, Engine, EngineProtocol

pytestmark = pytest.mark.unit


async def loaded(engine: Engine, **options: object) -> LoadReport:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: EngineProtocol(engine), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    how = {"stream": False, "concurrency": 4, "requests": 40, "warmup": 0.0, "tokens": 4}
    try:
        given = Options(f"http://127.0.0.1:{port}/v1", "k", "mock", **(how | options))  # type: ignore[arg-type]
        return await Load(given).run()
    finally:
        server.close()
        await asyncio.sleep(0.05)  # until both ends of all connections are closed


@pytest.mark.parametrize("stream", [False, True])
async def test_who_hangs_up_is_neither_good_nor_bad(stream: bool) -> None:
    """The others get their whole answers."""
    engine = Engine(Behaviour(tokens=4, interval_ms=20, delay_ms=60), ["mock"])
    report = await loaded(engine, stream=stream, hang_up=0.25)
    assert (report.all, report.bad, report.hung_up) == (30, 0, 10)
    assert engine.counters.requests >= 30


def test_a_share_of_clients_hangs_up_evenly() -> None:
    hanging_up = HangingUp(0.25)
    assert [hanging_up.next() for _ in range(8)] == [False, False, False, True] * 2
    assert not any(HangingUp(0.0).next() for _ in range(9))


@pytest.mark.parametrize("length", [16_000, 200_000, 2_000_000])
async def test_prompts_have_the_length_that_was_asked_for(length: int) -> None:
    engine = Engine(Behaviour(tokens=4, interval_ms=0), ["mock"])
    report = await loaded(engine, requests=2, concurrency=1, prompt_bytes=length)
    assert (report.all, report.bad) == (2, 0)
    content = json.loads(engine.last_body)["messages"][0]["content"]
    assert len(json.dumps(content)) == pytest.approx(length, abs=100)
    assert content.startswith(prompt(length)[:80])
