"""The buffer lets each event through once, in order, however often it is sent."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.stream.frames import Frame, Kind, numbered, unseen
from inference.stream.reader_buffer import ReaderBuffer
from tests.inference.orders import a_frame, numbers

pytestmark = pytest.mark.unit
ERROR = b'{"error":{}}'


async def taken(buffer: ReaderBuffer) -> list[Frame]:
    frames = []
    while frame := await buffer.next(0):
        frames.append(frame)
    return frames


def seen(frames: list[Frame]) -> list[int]:
    return [n for frame in frames for n in numbers(frame.body)]


steps = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9)), min_size=1, max_size=12)


@st.composite
def sendings(draw: st.DrawFn) -> tuple[int, list[Frame]]:
    """Slices of events 1..n that overlap and repeat at will, but leave no gap."""
    frames, reached = list[Frame](), 0
    for back, length in draw(steps):
        first = max(1, reached + 1 - back)
        frames.append(a_frame(first, first + length))
        reached = max(reached, first + length)
    again = draw(st.lists(st.sampled_from(frames), max_size=3))
    end = a_frame(max(1, reached + 1 - draw(st.integers(0, 4))), reached + 1, kind=Kind.END)
    return reached + 1, [*frames, *again, end, *again, end]


@given(sendings())
async def test_every_event_once_and_in_order(sent: tuple[int, list[Frame]]) -> None:
    total, frames = sent
    buffer = ReaderBuffer()
    for frame in frames:
        buffer.put(frame)
    got = await taken(buffer)
    assert seen(got) == list(range(1, total + 1))
    assert [frame.final for frame in got] == [False] * (len(got) - 1) + [True]
    assert buffer.finished
    assert buffer.last == total


@given(sendings(), st.data())
async def test_reading_in_between_changes_nothing(
    sent: tuple[int, list[Frame]], data: st.DataObject
) -> None:
    total, frames = sent
    buffer, got = ReaderBuffer(), list[Frame]()
    for frame in frames:
        buffer.put(frame)
        if data.draw(st.booleans()):
            got += await taken(buffer)
    assert seen(got + await taken(buffer)) == list(range(1, total + 1))


async def test_events_are_never_skipped() -> None:
    buffer = ReaderBuffer()
    buffer.put(a_frame(1, 3))
    buffer.put(a_frame(6, 7))  # 4 and 5 were lost with Redis
    buffer.put(a_frame(1, 7))  # the runner puts back everything that it has sent
    buffer.put(a_frame(8, 9, kind=Kind.END))
    assert seen(await taken(buffer)) == list(range(1, 10))


async def test_an_end_that_came_too_early_does_not_finish() -> None:
    buffer = ReaderBuffer()
    buffer.put(a_frame(1, 3))
    buffer.put(a_frame(6, 7, kind=Kind.END))
    assert not buffer.finished
    buffer.put(a_frame(1, 5))
    buffer.put(a_frame(6, 7, kind=Kind.END))
    assert seen(await taken(buffer)) == list(range(1, 8))
    assert buffer.finished


async def test_after_the_end_nothing_passes() -> None:
    buffer = ReaderBuffer()
    buffer.put(a_frame(1, 2, kind=Kind.END))
    buffer.put(a_frame(3, 4))
    buffer.put(a_frame(1, 9, attempt=2))
    buffer.put(Frame(b"", 99, 3, Kind.ERROR, ERROR, 502))
    assert seen(await taken(buffer)) == [1, 2]


async def test_a_later_attempt_silences_an_earlier_one() -> None:
    buffer = ReaderBuffer()
    buffer.put(a_frame(1, 3, attempt=1))
    buffer.put(a_frame(4, 4, attempt=2))  # it goes on where the first broke off
    buffer.put(a_frame(4, 9, attempt=1))  # the runner that was thought dead
    buffer.put(a_frame(5, 5, attempt=2, kind=Kind.END))
    got = await taken(buffer)
    assert seen(got) == [1, 2, 3, 4, 5]
    assert [frame.attempt for frame in got] == [1, 2, 2]


async def test_an_answer_that_begins_anew_is_not_joined_to_what_was_read() -> None:
    buffer = ReaderBuffer()
    buffer.put(a_frame(1, 3, attempt=1))
    buffer.put(a_frame(1, 5, attempt=2))
    buffer.put(a_frame(6, 7, attempt=2, kind=Kind.END))
    first, second = await taken(buffer)
    assert numbers(first.body) == [1, 2, 3]
    assert (second.kind, second.status, second.last) == (Kind.ERROR, 502, 4)
    assert b"stream_lost" in second.body
    assert buffer.finished


async def test_an_attempt_that_does_not_know_the_last_events_is_not_joined_to_them() -> None:
    """The first one's worker was cut off, and its last events came when it had been taken up."""
    buffer = ReaderBuffer()
    buffer.put(a_frame(1, 3, attempt=1))
    buffer.put(a_frame(4, 6, attempt=1))
    buffer.put(a_frame(4, 4, attempt=2))
    buffer.put(a_frame(5, 9, attempt=2))
    *_, error = await taken(buffer)
    assert (error.kind, error.last) == (Kind.ERROR, 7)
    assert b"stream_lost" in error.body


async def test_one_that_begins_anew_is_fine_when_nothing_was_read() -> None:
    buffer = ReaderBuffer()
    buffer.put(a_frame(1, 2, attempt=2))
    buffer.put(a_frame(1, 3, attempt=2, kind=Kind.END))
    assert seen(await taken(buffer)) == [1, 2, 3]


async def test_the_same_attempt_may_say_everything_again() -> None:
    buffer = ReaderBuffer()
    buffer.put(a_frame(1, 3))
    buffer.put(a_frame(1, 5))  # after Redis had lost its data
    buffer.put(a_frame(6, 6, kind=Kind.END))
    assert seen(await taken(buffer)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("kind", [Kind.BODY, Kind.ERROR])
async def test_an_answer_or_an_error_passes_whole_and_ends_it(kind: Kind) -> None:
    buffer = ReaderBuffer()
    buffer.put(Frame(b"", 1, 0, kind, ERROR, 502))
    assert [frame.body for frame in await taken(buffer)] == [ERROR]
    assert buffer.finished


async def test_an_error_of_an_earlier_attempt_is_not_heard() -> None:
    buffer = ReaderBuffer()
    buffer.put(a_frame(1, 2, attempt=2))
    buffer.put(Frame(b"", 1, 3, Kind.ERROR, ERROR, 502))
    assert not buffer.finished


async def test_it_waits_for_the_next_frame() -> None:
    buffer = ReaderBuffer()
    waiting = asyncio.ensure_future(buffer.next(5))
    await asyncio.sleep(0.01)
    buffer.put(a_frame(1, 1))
    found = await asyncio.wait_for(waiting, 30)
    assert found
    assert numbers(found.body) == [1]
    assert await buffer.next(0.01) is None


async def test_nothing_is_read_once_the_client_has_hung_up() -> None:
    buffer = ReaderBuffer()
    waiting = asyncio.ensure_future(buffer.next(5))
    await asyncio.sleep(0)
    buffer.hang_up()
    assert await asyncio.wait_for(waiting, 30) is None
    buffer.put(a_frame(1, 1))
    assert await buffer.next(5) is None


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 60))
def test_the_unseen_part_of_a_frame(first: int, length: int, last: int) -> None:
    frame = a_frame(first, first + length - 1)
    fresh = unseen(frame, last)
    expected = [n for n in numbers(frame.body) if n > last]
    if last >= first - 1:  # no gap before it
        assert (numbers(fresh.body) if fresh else []) == expected
    if fresh:
        assert fresh.last == frame.last


@given(st.integers(1, 30), st.integers(1, 30))
def test_ids_number_the_events_of_the_whole_stream(first: int, length: int) -> None:
    last = first + length - 1
    expected = b"".join(b"id: %d\ndata: %d\n\n" % (n, n) for n in range(first, last + 1))
    assert numbered(a_frame(first, last)) == expected


def test_a_frame_that_was_cut_keeps_its_numbers() -> None:
    fresh = unseen(a_frame(4, 8), 6)
    assert fresh
    assert numbered(fresh) == b"id: 7\ndata: 7\n\nid: 8\ndata: 8\n\n"
