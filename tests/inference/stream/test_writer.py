"""A runner's way out: batched, in order, and nothing dropped while Redis is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from django.conf import settings

from inference.order import Order
from inference.stream import frames, stored_events, writer
from inference.stream.cursor import follow
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Pace, Writer
from infrastructure.redis.link import RedisLink
from tests.audit.weak_line import WeakLine, over, weak_line_to_redis
from tests.inference.conftest import NewLink
from tests.inference.orders import a_frame, an_order, numbers
from tests.tenants.played_redis import Command, PlayedRedis, fine


@pytest.fixture
async def line() -> AsyncIterator[WeakLine]:
    async with weak_line_to_redis(settings.REDIS_URL) as line:
        yield line


async def read(link: RedisLink, name: str) -> list[Frame]:
    entries = await link.call("XRANGE", name, "-", "+")
    return [frame for _, fields in entries for frame in frames.decrypted(fields[1], name.encode())]


def of(order: Order, first: int, last: int, kind: Kind = Kind.EVENTS) -> Frame:
    return a_frame(first, last, of=order.id, kind=kind)


def sent(found: list[Frame], order: Order) -> list[int]:
    mine = [frame for frame in found if frame.id == order.id.bytes]
    return [n for frame in mine for n in numbers(frame.body)]


def a_reader() -> str:
    return f"web-{uuid4().hex}"


async def test_frames_reach_the_reader_and_are_kept(link: RedisLink) -> None:
    one, other, out = an_order(reply_to=a_reader()), an_order(reply_to=a_reader()), Writer(link)
    for n in range(1, 6):
        out.put(one, of(one, n, n))
        out.put(other, of(other, n, n))
    out.put(one, of(one, 6, 6, Kind.END))
    await out.drained()
    for order, last in ((one, 6), (other, 5)):
        assert sent(await read(link, frames.channel(order.reply_to)), order) == [
            *range(1, last + 1)
        ]
        kept = await read(link, frames.history(order.id.bytes))
        assert sent(kept, order) == [*range(1, last + 1)]


async def test_one_batch_serves_all_streams_of_a_reader(link: RedisLink) -> None:
    web, out = a_reader(), Writer(link)
    orders = [an_order(reply_to=web) for _ in range(20)]
    for order in orders:
        out.put(order, of(order, 1, 1))
    await out.drained()
    assert await link.call("XLEN", frames.channel(web)) == 1
    found = await read(link, frames.channel(web))
    assert [frame.id for frame in found] == [order.id.bytes for order in orders]


async def test_what_nobody_may_resume_is_not_kept(link: RedisLink) -> None:
    order, out = an_order(stream=False, reply_to=a_reader()), Writer(link)
    out.put(order, Frame(order.id.bytes, 1, 0, Kind.BODY, b"{}"))
    await out.drained()
    assert await link.call("EXISTS", frames.history(order.id.bytes)) == 0
    assert len(await read(link, frames.channel(order.reply_to))) == 1


async def test_a_chat_is_kept_and_sent_to_nobody(link: RedisLink) -> None:
    order, out = an_order(reply_to="", outlives_reader=True), Writer(link)
    out.put(order, of(order, 1, 2))
    await out.drained()
    assert sent(await read(link, frames.history(order.id.bytes)), order) == [1, 2]
    assert await link.call("EXISTS", frames.channel("")) == 0


async def test_everything_expires(link: RedisLink) -> None:
    order, out = an_order(reply_to=a_reader()), Writer(link)
    out.put(order, of(order, 1, 1))
    await out.drained()
    assert 0 < await link.call("TTL", frames.channel(order.reply_to)) <= 120
    assert 0 < await link.call("TTL", frames.history(order.id.bytes)) <= 600


async def test_first_and_last_frames_do_not_wait_for_the_tick(
    new_link: NewLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUICK_S", 0.4)
    async with PlayedRedis(fine) as played:
        order, out = an_order(), Writer(new_link(played.url))

        async def takes(frame: Frame) -> float:
            before, began = len(played.heard), time.monotonic()
            out.put(order, frame)
            while len(played.heard) == before:
                await asyncio.sleep(0.002)
            return time.monotonic() - began

        assert await takes(of(order, 1, 1)) < 0.1
        assert await takes(of(order, 2, 2)) < 0.1
        assert 0.3 < await takes(of(order, 3, 3)) < 0.6
        assert await takes(of(order, 4, 4, Kind.END)) < 0.1


async def test_in_between_frames_are_gathered(
    new_link: NewLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUICK_S", 0.05)
    async with PlayedRedis(fine) as played:
        order, out = an_order(), Writer(new_link(played.url))
        for n in range(1, 101):
            out.put(order, of(order, n, n))
            await asyncio.sleep(0.002)
        await out.drained()
        assert sum(command[0] == b"XADD" for command in played.heard) < 40


async def test_what_a_stream_says_between_two_writes_is_one_frame(link: RedisLink) -> None:
    order, other, out = an_order(reply_to=a_reader()), an_order(reply_to=""), Writer(link)
    for n in range(1, 6):
        out.put(order, of(order, n, n))
        out.put(other, of(other, n, n))
    out.put(order, of(order, 6, 6, Kind.END))
    await out.drained()
    found = await read(link, frames.channel(order.reply_to))
    assert [(frame.kind, frame.last, numbers(frame.body)) for frame in found] == [
        (Kind.EVENTS, 5, [1, 2, 3, 4, 5]),
        (Kind.END, 6, [6]),
    ]


async def test_fast_streams_are_read_together(
    link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PICTURE_S", 0.3)
    out, loop = Writer(link), asyncio.get_running_loop()
    fast, slow = [Pace() for _ in range(3)], Pace()

    async def reads_on(pace: Pace, last: int, came: int) -> float:
        if waits := out.turn(last, came, pace):
            await waits
        return loop.time()

    began = await reads_on(slow, 3, 1)
    assert await reads_on(fast[0], 2, 5) - began < 0.1  # the first events never wait
    first = await asyncio.gather(*(reads_on(pace, 8, 2) for pace in fast))
    again = await asyncio.gather(*(reads_on(pace, 10, 2) for pace in fast))
    for together in (first, again):
        assert max(together) - min(together) < 0.1
    assert 0.2 < again[0] - first[0] < 0.6
    assert out.turn(4, 1, slow) is None


async def test_streams_are_read_on_while_redis_hangs() -> None:
    class Hanging:
        async def many(self, commands: object) -> list[object]:
            await asyncio.sleep(60)
            return []

    out = Writer(cast(RedisLink, Hanging()))
    orders = [an_order() for _ in range(40)]
    reads, until = 0, time.monotonic() + 0.5
    while time.monotonic() < until:
        reads += 1
        for order in orders:
            out.put(order, of(order, reads + 2, reads + 2))
        async with asyncio.timeout(0.4):
            await (out.turn(reads + 2, 2, Pace()) or asyncio.sleep(0.001))
    assert reads > 20
    assert out._writing
    out._writing.cancel()


async def test_nothing_is_lost_while_redis_is_away(
    new_link: NewLink, link: RedisLink, line: WeakLine
) -> None:
    out = Writer(new_link(over(line, settings.REDIS_URL)))
    orders = [an_order(reply_to=a_reader()) for _ in range(3)]

    async def speak(first: int, last: int) -> None:
        for n in range(first, last + 1):
            for order in orders:
                out.put(order, of(order, n, n))
            await asyncio.sleep(0.004)

    await speak(1, 20)
    await line.down()
    await speak(21, 60)
    await line.up()
    await speak(61, 80)
    await asyncio.wait_for(out.drained(), 5)
    for order in orders:
        for name in (frames.channel(order.reply_to), frames.history(order.id.bytes)):
            assert _without_repeats(sent(await read(link, name), order)) == [*range(1, 81)]


def test_a_writer_whose_loop_ends_begins_nothing_anew() -> None:
    """Its link is closed for good, as at the end of a process."""

    async def put() -> Coroutine[Any, Any, None]:
        link = RedisLink(settings.REDIS_URL)
        link.close()
        order, out = an_order(), Writer(link)
        out.put(order, of(order, 1, 1))
        await asyncio.sleep(0.05)  # it waits before it tries again
        assert out._writing
        coroutine = out._writing.get_coro()
        assert asyncio.iscoroutine(coroutine)
        return coroutine

    with asyncio.Runner() as runner:
        writing = runner.run(put())
        writing.close()  # as the garbage collector does


async def test_a_line_that_is_cut_again_and_again_loses_nothing(
    new_link: NewLink, link: RedisLink, line: WeakLine
) -> None:
    order, out = an_order(reply_to=a_reader()), Writer(new_link(over(line, settings.REDIS_URL)))
    for n in range(1, 121):
        out.put(order, of(order, n, n))
        if n % 30 == 0:
            await line.cut()
        await asyncio.sleep(0.003)
    await asyncio.wait_for(out.drained(), 5)
    for name in (frames.channel(order.reply_to), frames.history(order.id.bytes)):
        assert _without_repeats(sent(await read(link, name), order)) == [*range(1, 121)]


def _without_repeats(found: list[int]) -> list[int]:
    """Returns what a buffer takes: it drops repeats, and sees a gap in a number too early."""
    seen: list[int] = []
    for n in found:
        if n == len(seen) + 1:
            seen.append(n)
        else:
            assert n <= len(seen)
    return seen


@pytest.mark.parametrize(
    "answer", [b"-LOADING Redis is loading the dataset in memory\r\n", b"-OOM too full\r\n"]
)
async def test_frames_that_redis_refuses_are_sent_again(new_link: NewLink, answer: bytes) -> None:
    refusing = True

    async def react(command: Command) -> bytes:
        return answer if refusing else b"+OK\r\n"

    async with PlayedRedis(react) as played:
        order, out = an_order(), Writer(new_link(played.url))
        out.put(order, of(order, 1, 1))
        out.put(order, of(order, 2, 2, Kind.END))
        await asyncio.sleep(0.1)
        refusing, already = False, len(played.heard)
        await asyncio.wait_for(out.drained(), 2)
        name = frames.channel(order.reply_to).encode()
        data = list[bytes]()
        for command in played.heard[already:]:
            if command[0] == b"XADD" and command[1] == name:
                data.append(command[-1])
            elif command[0] == b"EVAL":  # to a full one
                assert command[3] == name
                data.append(command[5])
        assert [n for d in data for f in frames.decrypted(d, name) for n in numbers(f.body)] == [
            1,
            2,
        ]


async def test_what_a_web_process_does_not_read_is_bounded(
    link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CHANNEL_CHECK", 100_000)
    monkeypatch.setattr(writer, "CHANNEL_BYTES", 500_000)
    order, out, most = an_order(reply_to=a_reader(), stream=False), Writer(link), 0
    name = frames.channel(order.reply_to)
    for _ in range(60):
        out.put(order, Frame(order.id.bytes, 1, 0, Kind.BODY, b"x" * 20_000))
        await out.drained()
        most = max(most, await link.call("MEMORY", "USAGE", name) or 0)
    assert 300_000 < most < 800_000


async def test_what_is_kept_of_a_stream_is_bounded_and_live_readers_do_not_notice(
    link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_events, "STREAM_BYTES", 100_000)
    order, out, most, got = an_order(reply_to=""), Writer(link), 0, list[int]()
    reading = follow(link, order.id.bytes)
    name = frames.history(order.id.bytes)
    text = b"data: " + b"x" * 5_000 + b" %d\n\n"
    for n in range(1, 101):
        kind = Kind.EVENTS if n < 100 else Kind.END
        out.put(order, Frame(order.id.bytes, 1, n, kind, text % n))
        await out.drained()
        most = max(most, await link.call("MEMORY", "USAGE", name) or 0)
        frame = await anext(reading)
        assert frame
        got.append(frame.last)
    assert got == list(range(1, 101))
    assert 60_000 < most < 200_000
    late = [frame async for frame in _within(follow(link, order.id.bytes, 1))]
    assert late == [None]  # its events are gone: nothing is joined to what it has


async def _within(frames: AsyncIterator[Frame | None]) -> AsyncIterator[Frame | None]:
    """Up to the first silence."""
    async for frame in frames:
        yield frame
        if frame is None:
            return


async def test_a_number_that_is_there_already_is_no_reason_to_send_again(
    link: RedisLink,
) -> None:
    order, out = an_order(reply_to=a_reader()), Writer(link)
    for _ in range(3):
        out.put(order, of(order, 1, 2))
        await asyncio.wait_for(out.drained(), 1)
    assert await link.call("XLEN", frames.history(order.id.bytes)) == 1


def test_history_is_named_by_the_completion() -> None:
    assert frames.history(UUID(int=255).bytes) == "gen:" + "0" * 30 + "ff"
