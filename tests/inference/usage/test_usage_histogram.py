"""Histograms: how far a quantile may be off, and that SQL and Python count alike."""

import math
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.models import UsageDay
from inference.models.rollup import NOBODY
from inference.usage.histogram import (
    BOUNDS,
    BUCKETS,
    MOST_OFF,
    WIDTH,
    Histogram,
    bucket,
    summed,
)
from tenants.models import Tenant

MOST_MS = 1_000_000
times = st.lists(st.integers(0, MOST_MS) | st.integers(0, 500), min_size=1, max_size=200)
histograms = st.lists(st.integers(0, MOST_MS) | st.integers(0, 500), max_size=50)
quick = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def exact(values: list[int], share: float) -> int:
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


@pytest.mark.unit
@given(times, st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_off_by_19_percent_at_most(values: list[int], share: float) -> None:
    found, true = Histogram.of(values).quantile(share), exact(values, share)
    assert found is not None
    slack = 0.5  # it is rounded to a millisecond
    assert (found - slack) / MOST_OFF <= max(true, 1) <= (found + slack) * MOST_OFF


@pytest.mark.unit
@given(st.integers(50, 5_000), st.integers(2, 20), st.sampled_from([0.05, 0.5, 0.95]))
def test_of_many_values_it_is_off_by_less(low: int, spread: int, share: float) -> None:
    values = list(range(low, low * spread, max(1, low * spread // 2000)))
    found, true = Histogram.of(values).quantile(share), exact(values, share)
    assert found is not None
    assert abs(found - true) <= 0.1 * true + 1


@pytest.mark.unit
@given(histograms, histograms)
def test_a_sum_is_the_histogram_of_both(a: list[int], b: list[int]) -> None:
    assert (Histogram.of(a) + Histogram.of(b)).packed() == Histogram.of(a + b).packed()


@pytest.mark.unit
@given(histograms)
def test_packed_and_unpacked(values: list[int]) -> None:
    found = Histogram.of(values)
    assert Histogram.unpacked(found.packed()) == found
    assert found.total == len(values)


@pytest.mark.unit
def test_four_buckets_for_each_doubling() -> None:
    assert len(BOUNDS) == BUCKETS - 1 == 79
    assert [bucket(ms) for ms in (0, 1, 1.5, 2, 3, 4, 1024)] == [0, 0, 2, 4, 6, 8, 40]
    assert bucket(10**12) == BUCKETS - 1
    assert BOUNDS[-1] > 600_000  # the longest wait that there is


@pytest.mark.unit
def test_nothing_has_no_quantile() -> None:
    assert Histogram().p50 is None
    assert Histogram.unpacked(None).p95 is None


def asked(query: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchone()[0]


OF = f"select {summed('ms')} from unnest(%s::float8[]) ms"


@pytest.mark.django_db
def test_sql_counts_into_the_same_buckets() -> None:
    edges = [v for b in BOUNDS for v in (math.nextafter(b, 0), b, math.nextafter(b, 1e9))]
    for value in [0.0, 0.5, 1.0, 1e12, *edges]:
        assert asked(OF, [value]) == 10 ** (WIDTH * bucket(value))


@pytest.mark.django_db
@quick
@given(histograms, histograms)
def test_sql_adds_as_python_does(a: list[int], b: list[int]) -> None:
    left, right, both = (Histogram.of(values).packed() for values in (a, b, a + b))
    assert asked(OF, a) == left
    assert asked("select %s::numeric + %s::numeric", left, right) == both
    assert Histogram.unpacked(asked(OF, a + b)) == Histogram.of(a + b)


@pytest.mark.django_db
def test_sql_ignores_what_was_not_measured() -> None:
    assert asked(OF, [None, 5.0, None]) == 10 ** (WIDTH * bucket(5))
    assert asked(OF, [None]) == 0


@pytest.mark.django_db
def test_the_largest_counts_do_not_run_into_each_other() -> None:
    acme = Tenant.open("acme", by="test")
    full = Histogram(dict.fromkeys(range(BUCKETS), 10**WIDTH - 1))
    place = {"team_id": NOBODY, "member_id": NOBODY, "api_key_id": NOBODY, "model": "m"}
    row = UsageDay.objects.create(tenant=acme, starts=timezone.now(), ttft=full.packed(), **place)
    row.refresh_from_db()
    assert Histogram.unpacked(row.ttft) == full
