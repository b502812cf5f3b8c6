"""The cache of one process: bounded, and shared fairly."""

from uuid import uuid4

import pytest

from inference.cache import levels
from inference.cache.levels import FirstLevel

pytestmark = pytest.mark.unit
ACME, GLOBEX = uuid4(), uuid4()


def name(n: int) -> bytes:
    return b"%d" % n


def test_a_tenant_that_floods_pushes_out_its_own() -> None:
    cache = FirstLevel(most=10)
    for n in range(3):
        cache.put(GLOBEX, name(n), b"x")
    for n in range(100):
        cache.put(ACME, name(n), b"x")
    assert all(cache.get(GLOBEX, name(n)) for n in range(3))
    assert [n for n in range(100) if cache.get(ACME, name(n))] == list(range(93, 100))
    assert cache.entries == 10


def test_what_was_used_stays() -> None:
    cache = FirstLevel(most=2)
    cache.put(ACME, name(1), b"x")
    cache.put(ACME, name(2), b"x")
    assert cache.get(ACME, name(1))
    cache.put(ACME, name(3), b"x")
    assert cache.get(ACME, name(2)) is None
    assert cache.get(ACME, name(1))


def test_bytes_are_bounded_too() -> None:
    cache = FirstLevel(most_bytes=100)
    for n in range(10):
        cache.put(ACME, name(n), b"x" * 30)
    assert (cache.entries, cache.bytes) == (3, 90)
    cache.put(ACME, name(11), b"x" * 101)
    assert (cache.entries, cache.bytes) == (0, 0)


def test_nothing_is_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FirstLevel()
    monkeypatch.setattr(levels, "TTL_S", 0.0)
    cache.put(ACME, name(1), b"x")
    assert cache.get(ACME, name(1)) is None
    assert (cache.entries, cache.bytes) == (0, 0)


def test_no_tenant_has_what_another_kept() -> None:
    cache = FirstLevel()
    cache.put(ACME, name(1), b"x")
    assert cache.get(GLOBEX, name(1)) is None
