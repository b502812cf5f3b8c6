"""A time beside the time before it: the figures of single queries, in one scan of the roll-up."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inference.usage import rollup
from inference.usage.comparison import compare
from inference.usage.histogram import Histogram
from inference.usage.report import LATENCIES, Dimension, UsageFigures, UsageReport
from inference.usage.time_range import TimeRange
from tenants.models import ApiKey, Tenant
from tests.inference.usages import used

pytestmark = pytest.mark.django_db
D = Dimension
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SPANS = {
    "week in UTC": TimeRange.days(date(2026, 3, 9), date(2026, 3, 15), "UTC"),
    "week with own days": TimeRange.days(date(2026, 3, 9), date(2026, 3, 15), "Asia/Kathmandu"),
    "week in which the clocks change": TimeRange.days(
        date(2026, 3, 27), date(2026, 4, 2), "Europe/Berlin"
    ),
    "hours": TimeRange.days(date(2026, 3, 13), date(2026, 3, 14), "UTC"),
}
EMPTY = dict.fromkeys(LATENCIES, Histogram())
OF_TENANT, OF_ALL = (D.MODEL, D.KEY, D.MEMBER), (D.TENANT, D.MODEL)


@pytest.fixture
def usage(db: None) -> Tenant:
    """Two weeks of usage of acme, with some of globex."""
    acme, globex = (Tenant.open(name, by="test") for name in ("acme", "globex"))
    keys = [ApiKey.issue(acme, name, by="test")[0].pk for name in ("ci", "app")]
    for day in range(-20, 20):
        for number in range(1 + day % 3):
            at = NOON + timedelta(days=day, hours=number * 5)
            used(acme, at, api_key_id=keys[day % 2], model=f"model-{day % 7}", cost=day + 20)
        used(acme, NOON + timedelta(days=day), status=502, finish_reason="error", error_code="x")
        used(globex, NOON + timedelta(days=day), api_key_id=None)
    rollup.roll_up()
    return acme


@pytest.mark.parametrize("name", SPANS)
@pytest.mark.parametrize("by", [OF_TENANT, OF_ALL], ids=["tenant", "all"])
def test_it_has_the_figures_of_single_queries(
    usage: Tenant, name: str, by: tuple[Dimension, ...]
) -> None:
    span = SPANS[name]
    report = UsageReport(usage if by == OF_TENANT else None, span)
    both = compare(report, by, 3)
    assert both.now == _without_latencies(report.series())
    assert both.before == _without_latencies(replace(report, span=span.before).series())
    assert sum(period.figures.requests for period in both.now + both.before) > 10
    for dimension in by:
        assert both.groups[dimension] == _without_latencies(report.groups(dimension, most=3))
        assert both.groups[dimension]


def test_a_week_with_a_change_of_the_clocks_is_beside_seven_whole_days(usage: Tenant) -> None:
    """An hour less or more between the two midnights moved the days before it."""
    span = SPANS["week in which the clocks change"]
    before = compare(UsageReport(usage, span), [D.KEY], 1).before
    begins = [period.begins.astimezone(span.zone) for period in before]
    assert [(each.day, each.hour) for each in begins] == [(day, 0) for day in range(20, 27)]
    assert all(period.figures.requests for period in before)


def test_a_filter_applies_to_all_of_it(usage: Tenant) -> None:
    report = UsageReport(usage, SPANS["hours"], {D.MODEL: "model-1"})
    both = compare(report, [D.KEY], 5)
    assert both.now == _without_latencies(report.series())
    assert both.groups[D.KEY] == _without_latencies(report.groups(D.KEY))


def test_the_rollup_is_scanned_once(usage: Tenant) -> None:
    with CaptureQueriesContext(connection) as captured:
        compare(UsageReport(usage, SPANS["hours"]), OF_TENANT, 5)
    scans = [query["sql"].count('FROM "inference_usagehour"') for query in captured]
    assert sum(scans) == 1


def _without_latencies(lines: Sequence[Any]) -> list[Any]:
    return [replace(line, figures=replace(line.figures, **EMPTY)) for line in lines]


def test_without_usage_all_is_zero(usage: Tenant) -> None:
    both = compare(
        UsageReport(usage, TimeRange.days(date(2020, 1, 1), date(2020, 1, 7), "UTC")), [D.KEY], 5
    )
    assert both.groups == {D.KEY: []}
    assert [period.figures for period in both.now + both.before] == [UsageFigures()] * 14
