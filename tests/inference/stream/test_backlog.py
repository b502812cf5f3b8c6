"""Who reads too slowly is dropped with a clear end, and can read on; nobody else notices."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.stream import reader_buffer as module
from inference.stream.frames import Frame, Kind
from inference.stream.reader_buffer import Backlog, ReaderBuffer

pytestmark = pytest.mark.unit
KB = 1024
ACME, GLOBEX = b"acme", b"globex"


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STREAM_BYTES", 10 * KB)
    monkeypatch.setattr(module, "TENANT_BYTES", 30 * KB)
    monkeypatch.setattr(module, "PROCESS_BYTES", 50 * KB)


def event(n: int, size: int = KB, kind: Kind = Kind.EVENTS) -> Frame:
    return Frame(b"id", 1, n, kind, b"data: " + b"x" * (size - 8) + b"\n\n")


async def test_a_slow_reader_is_told_from_where_to_read_on() -> None:
    backlog = Backlog()
    buffer = ReaderBuffer(ACME, backlog)
    for n in range(1, 4):
        buffer.put(event(n))
        assert await buffer.next(0)
    for n in range(4, 40):
        buffer.put(event(n))
    frame = await buffer.next(0)
    assert frame
    assert (frame.kind, frame.last, buffer.dropped) == (Kind.ERROR, 3, True)
    assert orjson.loads(frame.body)["error"]["code"] == "slow_reader"
    assert await buffer.next(0) is None
    assert (backlog.total, dict(backlog.bytes), buffer.waiting) == (0, {}, 0)


async def test_who_reads_on_is_never_dropped() -> None:
    buffer = ReaderBuffer(ACME, Backlog())
    for n in range(1, 500):
        buffer.put(event(n))
        if n % 9 == 0:
            for _ in range(9):
                assert await buffer.next(0)
    assert not buffer.dropped


async def test_a_tenant_over_its_bound_loses_the_stream_that_holds_most() -> None:
    backlog = Backlog()
    theirs, mine = [ReaderBuffer(ACME, backlog) for _ in range(5)], ReaderBuffer(GLOBEX, backlog)
    for n in range(1, 10):
        mine.put(event(n))
    for n in range(1, 9):
        for buffer in theirs[:4] if n > 5 else theirs:
            buffer.put(event(n))
    assert sum(buffer.dropped for buffer in theirs) == 1
    assert not theirs[4].dropped
    assert not mine.dropped
    assert backlog.bytes[ACME] <= 30 * KB


async def test_a_whole_answer_is_not_dropped() -> None:
    buffer = ReaderBuffer(ACME, Backlog())
    buffer.put(Frame(b"id", 1, 0, Kind.BODY, b"x" * 40 * KB))
    frame = await buffer.next(0)
    assert frame
    assert frame.kind == Kind.BODY


steps = st.lists(st.tuples(st.integers(0, 11), st.integers(8, 6 * KB), st.booleans()), max_size=90)


@given(steps)
async def test_no_bound_is_ever_exceeded(steps: list[tuple[int, int, bool]]) -> None:
    backlog, last = Backlog(), [0] * 12
    buffers = [ReaderBuffer(bytes([n % 3]), backlog) for n in range(12)]
    for n, size, reads in steps:
        if reads:
            await buffers[n].next(0)
        else:
            last[n] += 1
            buffers[n].put(event(last[n], size))
        held = [
            sum(len(f.body) for f in buffer._frames if not buffer.dropped) for buffer in buffers
        ]
        assert [buffer.waiting for buffer in buffers] == held
        assert backlog.total == sum(held) <= 50 * KB
        assert max(held) <= 10 * KB
        for tenant in range(3):
            theirs = sum(held[tenant::3])
            assert backlog.bytes[bytes([tenant])] == theirs <= 30 * KB
