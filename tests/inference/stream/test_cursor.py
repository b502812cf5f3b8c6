"""A reader that comes back gets everything after its last event, once, up to the end."""

import asyncio
import time
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.stream import frames
from inference.stream.cursor import follow
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Writer
from infrastructure.redis.link import RedisGone, RedisLink
from tests.inference.conftest import NewLink
from tests.inference.orders import a_frame, an_order, numbers

with_redis = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def keep(link: RedisLink, completion: UUID, batches: list[list[Frame]]) -> None:
    """Puts frames into the history as a writer does, a batch an entry."""
    out, order = Writer(link), an_order(id=completion, reply_to="")
    for batch in batches:
        for frame in batch:
            out.put(order, frame)
        await out.drained()


async def heard(link: RedisLink, completion: UUID, after: int = 0) -> list[int]:
    """Events up to the final one, as the reader gets them."""
    got: list[int] = []
    async with asyncio.timeout(5):
        async for frame in follow(link, completion.bytes, after):
            if frame:
                got += numbers(frame.body)
    return got


@st.composite
def kept_streams(draw: st.DrawFn) -> tuple[int, list[list[tuple[int, int, Kind]]]]:
    """Events 1..n as (first, last) in batches, the last one final."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=8))
    slices, reached = list[tuple[int, int, Kind]](), 0
    for length in lengths:
        slices.append((reached + 1, reached + length, Kind.EVENTS))
        reached += length
    slices.append((reached + 1, reached + 2, Kind.END))
    batches: list[list[tuple[int, int, Kind]]] = [[]]
    for piece in slices:
        if draw(st.booleans()):
            batches.append([])
        batches[-1].append(piece)
    return reached + 2, [batch for batch in batches if batch]


@with_redis
@given(kept_streams(), st.data())
async def test_it_goes_on_after_any_event(
    link: RedisLink, stream: tuple[int, list[list[tuple[int, int, Kind]]]], data: st.DataObject
) -> None:
    total, batches = stream
    completion = uuid4()
    made = [[a_frame(a, b, of=completion, kind=k) for a, b, k in batch] for batch in batches]
    await keep(link, completion, made)
    after = data.draw(st.integers(0, total - 1))
    assert await heard(link, completion, after) == [*range(after + 1, total + 1)]


@with_redis
@given(kept_streams(), st.lists(st.integers(1, 12), max_size=5))
async def test_a_reader_that_drops_out_often_misses_nothing(
    link: RedisLink, stream: tuple[int, list[list[tuple[int, int, Kind]]]], reads: list[int]
) -> None:
    total, batches = stream
    completion = uuid4()
    made = [[a_frame(a, b, of=completion, kind=k) for a, b, k in batch] for batch in batches]
    await keep(link, completion, made)
    got: list[int] = []
    for some in reads:  # it leaves in the middle of a frame: its last event id is the last it read
        if len(got) < total - 1:
            got += (await heard(link, completion, len(got)))[:some]
    got = got[: total - 1]
    got += await heard(link, completion, len(got))
    assert got == [*range(1, total + 1)]


async def test_it_follows_while_the_answer_is_written(link: RedisLink) -> None:
    completion, out = uuid4(), Writer(link)
    order = an_order(id=completion, reply_to="")
    readers = [asyncio.ensure_future(heard(link, completion, after)) for after in (0, 0, 7)]
    for n in range(1, 30):
        out.put(order, a_frame(n, n, of=completion))
        await asyncio.sleep(0.01)
    out.put(order, a_frame(30, 31, of=completion, kind=Kind.END))
    await out.drained()
    assert await asyncio.gather(*readers) == [[*range(1, 32)], [*range(1, 32)], [*range(8, 32)]]


async def test_it_waits_and_says_so(link: RedisLink) -> None:
    completion, began = uuid4(), time.monotonic()
    following = follow(link, completion.bytes)
    assert await anext(following) is None
    assert 0.8 < time.monotonic() - began < 2
    await keep(link, completion, [[a_frame(1, 2, of=completion, kind=Kind.END)]])
    last = await anext(following)
    assert last
    assert numbers(last.body) == [1, 2]
    with pytest.raises(StopAsyncIteration):
        await anext(following)


async def test_an_error_ends_it(link: RedisLink) -> None:
    completion = uuid4()
    error = Frame(completion.bytes, 1, 3, Kind.ERROR, b'{"error":{}}', 502)
    await keep(link, completion, [[a_frame(1, 2, of=completion)], [error]])
    got = [frame async for frame in follow(link, completion.bytes, 1) if frame]
    assert [frame.kind for frame in got] == [Kind.EVENTS, Kind.ERROR]
    assert numbers(got[0].body) == [2]


async def test_the_frames_of_an_older_attempt_are_left_out(link: RedisLink) -> None:
    completion = uuid4()
    made = [
        [a_frame(1, 3, of=completion, attempt=1)],
        [a_frame(1, 4, of=completion, attempt=2)],
        [a_frame(5, 5, of=completion, attempt=1)],
        [a_frame(5, 6, of=completion, attempt=2, kind=Kind.END)],
    ]
    await keep(link, completion, made)
    assert await heard(link, completion) == [1, 2, 3, 4, 5, 6]


async def test_an_answer_that_begins_anew_ends_those_who_had_read_of_it(link: RedisLink) -> None:
    completion = uuid4()
    await keep(link, completion, [[a_frame(1, 3, of=completion, attempt=1)]])
    following = follow(link, completion.bytes)
    first = await anext(following)
    assert first
    assert numbers(first.body) == [1, 2, 3]
    again = a_frame(1, 5, of=completion, attempt=2, kind=Kind.END)
    await keep(link, completion, [[again]])
    last = await anext(following)
    assert last
    assert last.kind == Kind.ERROR
    assert b"stream_lost" in last.body
    assert await heard(link, completion) == [1, 2, 3, 4, 5]  # who comes now reads the new one


async def test_another_completions_events_cannot_be_slipped_in(link: RedisLink) -> None:
    victim, other = uuid4(), uuid4()
    await keep(link, other, [[a_frame(1, 2, of=other)]])
    ((_, fields),) = await link.call("XRANGE", frames.history(other.bytes), "-", "+")
    name = frames.history(victim.bytes)
    await link.call("XADD", name, "2-0", "f", fields[1])
    await keep(link, victim, [[a_frame(1, 3, of=victim, kind=Kind.END)]])
    assert await heard(link, victim) == [1, 2, 3]


async def test_one_who_has_everything_is_at_the_end(link: RedisLink) -> None:
    completion = uuid4()
    await keep(link, completion, [[a_frame(1, 3, of=completion, kind=Kind.END)]])
    async with asyncio.timeout(1):
        assert [frame async for frame in follow(link, completion.bytes, 3)] == []


async def test_without_redis_it_says_so(new_link: NewLink) -> None:
    with pytest.raises(RedisGone):
        await anext(follow(new_link("redis://127.0.0.1:1"), uuid4().bytes))
