"""What a runner keeps in Redis to resume streams from stays within its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.stream import stored_events as module
from inference.stream.stored_events import StoredEvents

pytestmark = pytest.mark.unit
KB = 1024


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STREAM_BYTES", 8 * KB)
    monkeypatch.setattr(module, "TENANT_BYTES", 20 * KB)
    monkeypatch.setattr(module, "RUNNER_BYTES", 40 * KB)


writes = st.lists(
    st.tuples(st.integers(0, 11), st.integers(1, 6 * KB), st.booleans(), st.integers(0, 30)),
    max_size=80,
)


@given(writes)
def test_no_bound_is_ever_exceeded(writes: list[tuple[int, int, bool, int]]) -> None:
    """Against the entries that are really there, as XTRIM and DEL would leave them."""
    kept, now = StoredEvents(), 0.0
    there: dict[bytes, dict[int, int]] = {}  # by stream: number of an event -> bytes
    until: dict[bytes, float] = {}
    for last, (n, size, ended, pause) in enumerate(writes, 1):
        now += pause
        kept.forget_expired(now)
        for stream in [s for s, at in until.items() if at <= now]:
            del there[stream], until[stream]
        stream, tenant = bytes([n]), bytes([n % 3])
        there.setdefault(stream, {})[last] = size
        until[stream] = now + (12 if ended else 60)
        going = kept.add(stream, tenant, size, last, ended=ended, until=until[stream])
        for gone, upto in going.items():
            there[gone] = {k: v for k, v in there[gone].items() if upto and k > upto}
        sums = {s: sum(entries.values()) for s, entries in there.items()}
        assert all(n <= 8 * KB for n in sums.values())
        for t in range(3):
            assert sum(n for s, n in sums.items() if s[0] % 3 == t) <= 20 * KB
        assert sum(sums.values()) <= 40 * KB
        assert kept.total >= sum(sums.values())


def test_those_that_have_ended_go_first() -> None:
    kept = StoredEvents()
    for n in range(4):
        ended = n == 2
        assert kept.add(bytes([n]), b"acme", 4 * KB, 1, ended=ended, until=99) == {}
    assert kept.add(b"x", b"acme", 5 * KB, 1, ended=False, until=99) == {b"\x02": 0}
    assert kept.bytes[b"acme"] <= 20 * KB


def test_of_a_long_stream_the_newer_half_stays() -> None:
    kept = StoredEvents()
    going = [kept.add(b"s", b"acme", KB, n, ended=False, until=99) for n in range(1, 12)]
    assert going[:8] == [{}] * 8
    assert going[8] == {b"s": 5}
    assert kept.total == 6 * KB


def test_one_that_is_written_anew_is_counted_anew() -> None:
    kept = StoredEvents()
    kept.add(b"s", b"acme", 5 * KB, 5, ended=False, until=99)
    kept.restart(b"s")
    assert (kept.total, dict(kept.bytes)) == (0, {})
