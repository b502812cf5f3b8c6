"""What a backlog is entitled to, and Jain's index."""

import pytest

from bench.simulate.shares import WINDOW_S, Shares, jain, ratios

pytestmark = pytest.mark.unit


def backlogged(**weights: int) -> Shares:
    """From the beginning on, with more than they will get."""
    shares = Shares()
    for tenant, weight in weights.items():
        for _ in range(500):
            shares.joins(tenant, weight, 0)
    return shares


def found(shares: Shares) -> list[float]:
    shares.joins("late", 1, 10 * WINDOW_S)
    return ratios(shares.by_tenant.values(), 10)


def test_a_backlog_is_entitled_to_its_weight() -> None:
    shares = backlogged(acme=1, globex=4)
    for n in range(40):
        shares.begins("acme", 10, n * WINDOW_S / 10)
        for _ in range(4):
            shares.begins("globex", 10, n * WINDOW_S / 10)
    assert found(shares) == pytest.approx([1.0, 1.0])


def test_who_gets_double_shows() -> None:
    shares = backlogged(acme=1, globex=1)
    for n in range(60):
        shares.begins("acme", 20, n)
        shares.begins("globex", 10, n)
    least, most = found(shares)
    assert most / least == pytest.approx(2)


def test_who_asks_now_and_then_is_not_compared() -> None:
    shares = backlogged(acme=1, globex=1)
    for n in range(60):
        shares.joins("initech", 1, n)
        for tenant in ("initech", "acme", "globex"):
            shares.begins(tenant, 10, n)
    assert found(shares) == pytest.approx([1.0, 1.0])


def test_what_was_parked_is_not_served() -> None:
    shares = backlogged(acme=1, globex=1)
    for n in range(60):
        shares.begins("acme", 10, n)
        shares.comes_back("acme", 1, 5, n)
        shares.begins("globex", 5, n)
    assert found(shares) == pytest.approx([1.0, 1.0])


def test_jain() -> None:
    assert jain([2, 2, 2]) == 1
    assert jain([1, 0, 0, 0]) == 0.25
    assert jain([]) is None
