"""The one reader of a web process: frames find their buffers, through losses too."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from django.conf import settings

from inference.order import Order
from inference.stream import frames
from inference.stream.frame_reader import FrameReader
from inference.stream.frames import Frame, Kind
from inference.stream.reader_buffer import ReaderBuffer
from inference.stream.writer import Writer
from infrastructure.redis.link import RedisLink
from tests.audit.weak_line import WeakLine, over, weak_line_to_redis
from tests.inference.orders import a_frame, an_order, numbers


@pytest.fixture
async def line() -> AsyncIterator[WeakLine]:
    async with weak_line_to_redis(settings.REDIS_URL) as line:
        yield line


@pytest.fixture
def web() -> str:
    return f"web-{uuid4().hex}"


@pytest.fixture
async def returns(web: str, line: WeakLine) -> AsyncIterator[FrameReader]:
    returns = FrameReader(over(line, settings.REDIS_URL), web)
    yield returns
    await returns.close()


async def got(buffer: ReaderBuffer) -> list[int]:
    found: list[int] = []
    while frame := await buffer.next(2):
        found += numbers(frame.body)
        if frame.final:
            return found
    return found


def of(order: Order, first: int, last: int, kind: Kind = Kind.EVENTS) -> Frame:
    return a_frame(first, last, of=order.id, kind=kind)


async def test_each_sink_gets_its_own_frames(
    link: RedisLink, returns: FrameReader, web: str
) -> None:
    orders, out = [an_order(reply_to=web) for _ in range(10)], Writer(link)
    buffers = [returns.expect(order.id.bytes) for order in orders]
    for n in range(1, 20):
        for order in orders:
            out.put(order, of(order, n, n))
        await asyncio.sleep(0.002)
    for order in orders:
        out.put(order, of(order, 20, 21, Kind.END))
    assert await asyncio.gather(*map(got, buffers)) == [[*range(1, 22)]] * 10


async def test_frames_come_soon(link: RedisLink, returns: FrameReader, web: str) -> None:
    order, out, took = an_order(reply_to=web), Writer(link), list[float]()
    buffer = returns.expect(order.id.bytes)
    for n in range(1, 20):
        began = time.monotonic()
        out.put(order, of(order, n, n))
        assert await buffer.next(1)
        took.append(time.monotonic() - began)
        await asyncio.sleep(0.02)
    assert sorted(took)[len(took) // 2] < 0.03


async def test_nobody_waits_for_it_any_more(
    link: RedisLink, returns: FrameReader, web: str
) -> None:
    gone, here, out = an_order(reply_to=web), an_order(reply_to=web), Writer(link)
    returns.expect(gone.id.bytes)
    buffer = returns.expect(here.id.bytes)
    returns.forget(gone.id.bytes)
    returns.forget(gone.id.bytes)
    out.put(gone, of(gone, 1, 1, Kind.END))
    out.put(here, of(here, 1, 1, Kind.END))
    assert await got(buffer) == [1]


async def test_what_others_put_into_its_stream_is_not_read(
    link: RedisLink, returns: FrameReader, web: str
) -> None:
    order, out = an_order(reply_to=web), Writer(link)
    buffer, name = returns.expect(order.id.bytes), frames.channel(web)
    evil = frames.encrypted([of(order, 1, 9, Kind.END)], b"ret:another")
    for rubbish in (b"", b"rubbish", evil):
        await link.call("XADD", name, "*", "f", rubbish)
    out.put(order, of(order, 1, 2, Kind.END))
    assert await got(buffer) == [1, 2]


async def test_a_cut_line_loses_nothing(
    link: RedisLink, returns: FrameReader, web: str, line: WeakLine
) -> None:
    order, out = an_order(reply_to=web), Writer(link)
    buffer = returns.expect(order.id.bytes)
    reading = asyncio.ensure_future(got(buffer))
    for n in range(1, 61):
        out.put(order, of(order, n, n))
        if n in (20, 40):
            await line.cut()
        await asyncio.sleep(0.005)
    out.put(order, of(order, 61, 61, Kind.END))
    assert await reading == [*range(1, 62)]


async def test_its_stream_may_vanish_and_come_again(
    link: RedisLink, returns: FrameReader, web: str
) -> None:
    order, out = an_order(reply_to=web), Writer(link)
    buffer = returns.expect(order.id.bytes)
    out.put(order, of(order, 1, 1))
    assert await buffer.next(2)
    await link.call("DEL", frames.channel(web))
    await asyncio.sleep(0.005)  # entries are named by the millisecond
    out.put(order, of(order, 2, 3, Kind.END))
    assert await got(buffer) == [2, 3]


async def test_it_stops_when_it_is_told_to(returns: FrameReader) -> None:
    await asyncio.sleep(0.05)
    await asyncio.wait_for(returns.close(), 1)
