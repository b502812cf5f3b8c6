"""What a backlog is entitled to, and Jain's index."""

import pytest

from bench.simulation.shares import Shares, jain, ratios

pytestmark = pytest.mark.unit


def test_a_backlog_is_entitled_to_its_weight() -> None:
    shares = Shares()
    for tenant, weight in (("acme", 1), ("globex", 4)):
        for _ in range(200):
            shares.joins(tenant, weight)
    for _ in range(40):
        shares.begins("acme", 10)
        for _ in range(4):
            shares.begins("globex", 10)
    assert ratios(shares.close(), 10) == pytest.approx([1.0, 1.0])


def test_who_gets_double_shows() -> None:
    shares = Shares()
    for tenant in ("acme", "globex"):
        for _ in range(100):
            shares.joins(tenant, 1)
    for _ in range(30):
        shares.begins("acme", 20)
        shares.begins("globex", 10)
    least, most = ratios(shares.close(), 10)
    assert most / least == pytest.approx(2)


def test_what_was_parked_is_not_served() -> None:
    shares = Shares()
    for tenant in ("acme", "globex"):
        for _ in range(100):
            shares.joins(tenant, 1)
    for _ in range(30):
        shares.begins("acme", 10)
        shares.comes_back("acme", 1, 5)
        shares.begins("globex", 5)
    assert ratios(shares.close(), 5) == pytest.approx([1.0, 1.0])


def test_jain() -> None:
    assert jain([2, 2, 2]) == 1
    assert jain([1, 0, 0, 0]) == 0.25
    assert jain([]) is None
