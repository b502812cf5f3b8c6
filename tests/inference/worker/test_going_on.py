"""A stream that breaks off goes on at another engine where its kind can take it up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from pytest_django.fixtures import Settings

from inference import engines
from inference.codec import events as sse
from inference.models import Usage
from inference.order import Order
from inference.stream.frames import Frame, Kind
from tests.inference.engines.served import Served
from tests.inference.orders import chunk, usage
from tests.inference.running import until
from tests.inference.worker.two_pools import Pools, second

BEGINNING = [chunk(role="assistant", content=""), chunk("Hel"), chunk("lo")]
REST = [chunk(role="assistant", content=""), chunk(" you"), chunk(finish="stop"), usage(9, 1)]
CHAT: dict[str, Any] = {
    "model": "theirs",
    "messages": [{"role": "user", "content": "Say something"}],
    "stream": True,
}


@asynccontextmanager
async def server(*found: bytes, cut: bool = False) -> AsyncIterator[Served]:
    served = Served()
    served.streams(*(each + b"\n\n" for each in found), cut=cut)
    runner = web.ServerRunner(web.Server(served), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield served
    await runner.cleanup()


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Served, Served]]:
    async with server(*BEGINNING, cut=True) as breaks, server(*REST, sse.DONE) as goes_on:
        yield breaks, goes_on


def serve(pools: Pools, settings: Settings, kind: str, *servers: Served) -> None:
    entries = {
        name: {"kind": kind, "url": f"{served.url}/v1", "model": "theirs"}
        for name, served in zip((pools.pool, second(pools)), servers, strict=True)
    }
    settings.ENGINES = {pools.pool: {"pools": entries}}
    engines.forget()
    for name in entries:
        engine: Any = engines.pools()[name].engine(name)
        pools.drain(name, engine)


async def frames_of(pools: Pools, order: Order) -> list[Frame]:
    """All that its reader gets: the last one leaves after the record."""

    async def to_the_end() -> list[Frame]:
        frames = [f for f in await pools.returned(order.reply_to) if f.id == order.id.bytes]
        return frames if frames and frames[-1].final else []

    frames: list[Frame] = await until(to_the_end)
    return frames


async def said(pools: Pools, order: Order) -> list[bytes]:
    frames = [one for one in await frames_of(pools, order) if one.kind != Kind.ERROR]
    return [each for one in frames for each in sse.split(one.body)]


async def ended(pools: Pools) -> Usage:
    (row,) = await pools.settled(1)
    return row


@pytest.mark.parametrize(
    ("kind", "says_go_on"),
    [
        ("vllm", {"continue_final_message": True}),
        ("deepseek", {"prefix": True}),
    ],
)
async def test_a_broken_stream_goes_on_at_the_next_engine(
    pools: Pools,
    settings: Settings,
    servers: tuple[Served, Served],
    kind: str,
    says_go_on: dict[str, bool],
) -> None:
    serve(pools, settings, kind, *servers)
    order = await pools.put(pools.pool, body=orjson.dumps(CHAT))
    row = await ended(pools)
    assert (row.pool, row.error_code, row.finish_reason) == (second(pools), "", "stop")
    assert row.completion_tokens == 3
    asked = orjson.loads(servers[1].asked[-1][1])
    last = asked["messages"][-1]
    assert (last["role"], last["content"]) == ("assistant", "Hello")
    assert says_go_on.items() <= {**asked, **last}.items()
    texts = [sse.text_in(each) for each in await said(pools, order) if each != sse.DONE]
    assert "".join(texts) == "Hello you"


@pytest.mark.parametrize("asks", [{"tools": [{"type": "function", "function": {"name": "f"}}]}, {}])
async def test_what_cannot_be_taken_up_ends_with_an_error(
    pools: Pools, settings: Settings, servers: tuple[Served, Served], asks: dict[str, Any]
) -> None:
    serve(pools, settings, "vllm" if asks else "openai", *servers)
    order = await pools.put(pools.pool, body=orjson.dumps({**CHAT, **asks}))
    row = await ended(pools)
    assert (row.pool, row.error_code, row.finish_reason) == (pools.pool, "engine_failed", "error")
    assert (row.completion_tokens, servers[1].asked) == (2, [])
    *_, last = await frames_of(pools, order)
    assert last.kind == Kind.ERROR
