"""What usage pages ask, and that one tenant's answer holds nothing of another's."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group as PermissionGroup

from inference.models import UsageHour
from inference.models.rollup import NOBODY
from inference.usage import rollup
from inference.usage.comparison import compare
from inference.usage.histogram import MOST_OFF
from inference.usage.report import Dimension, UsageFigures, UsageReport, as_of, total
from inference.usage.time_range import TimeRange
from tenants.models import ApiKey, Member, Team, Tenant
from tenants.roles import Role
from tests.inference.usages import used
from tests.people import join

pytestmark = pytest.mark.django_db
D = Dimension
WEEK = TimeRange.days(date(2026, 3, 9), date(2026, 3, 15), "UTC")
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def globex(db: None) -> Tenant:
    return Tenant.open("globex", by="test")


@pytest.fixture
def team(acme: Tenant) -> Team:
    group = PermissionGroup.objects.create(name="research")
    return Team.objects.create(tenant=acme, name="research", group=group)


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return join(acme, "bob@acme.example", Role.DEVELOPER)


@pytest.fixture
def ci(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "ci", by="test")[0]


def test_totals_and_series(acme: Tenant, globex: Tenant) -> None:
    used(acme, NOON, prompt_tokens=10, cached_tokens=4, completion_tokens=3, cost=50)
    used(acme, NOON + timedelta(hours=3), status=502, finish_reason="error", error_code="x")
    used(acme, NOON - timedelta(days=2))
    used(acme, NOON - timedelta(days=30))  # before
    used(globex, NOON)
    rollup.roll_up()
    report = UsageReport(acme, WEEK)
    series = report.series()
    assert [p.figures.requests for p in series] == [0, 0, 0, 1, 0, 2, 0]
    assert [p.begins for p in series] == [begin for begin, _end in WEEK.periods()]
    assert total(series) == report.totals()
    found = report.totals()
    assert (found.requests, found.prompt_tokens, found.cached_tokens) == (3, 34, 14)
    assert (found.completion_tokens, found.cost) == (71, 64)
    assert (found.errors, found.errors_engine) == (1, 1)
    assert UsageReport(None, WEEK).totals().requests == 4


def test_the_days_are_the_tenants(acme: Tenant) -> None:
    """20:00 in UTC is the next day in Shanghai."""
    used(acme, NOON)
    used(acme, NOON + timedelta(hours=8))
    rollup.roll_up()
    span = TimeRange.days(date(2026, 3, 9), date(2026, 3, 15), "Asia/Shanghai")
    assert [p.figures.requests for p in UsageReport(acme, span).series()][-2:] == [1, 1]
    assert [p.figures.requests for p in UsageReport(acme, WEEK).series()][-2:] == [2, 0]


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25)])
def test_a_day_whose_midnight_is_skipped_or_comes_twice_has_its_usage(
    acme: Tenant, day: date
) -> None:
    """In the Azores the clocks change at midnight."""
    used(acme, datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    rollup.roll_up()
    three = timedelta(days=3)
    report = UsageReport(acme, TimeRange.days(day - three, day + three, "Atlantic/Azores"))
    for series in (report.series(), compare(report, [D.MODEL], 1).now):
        assert [period.figures.requests for period in series] == [0, 0, 0, 1, 0, 0, 0]


def test_hours(acme: Tenant) -> None:
    for minutes in (0, 59, 60):
        used(acme, NOON + timedelta(minutes=minutes))
    rollup.roll_up()
    span = TimeRange.days(date(2026, 3, 14), date(2026, 3, 14), "Asia/Kolkata")
    found = {p.begins: p.figures.requests for p in UsageReport(acme, span).series()}
    assert (len(found), found[NOON], found[NOON + timedelta(hours=1)]) == (24, 2, 1)


def test_quantiles(acme: Tenant) -> None:
    for ms in range(10, 1001, 10):
        used(acme, NOON, ttft_ms=ms, queue_ms=10 * ms)
    rollup.roll_up()
    found = UsageReport(acme, WEEK).totals()
    for histogram, p50, p95 in ((found.ttft, 500, 950), (found.queue_wait, 5000, 9500)):
        assert p50 / MOST_OFF <= (histogram.p50 or 0) <= p50 * MOST_OFF
        assert p95 / MOST_OFF <= (histogram.p95 or 0) <= p95 * MOST_OFF


@pytest.mark.parametrize(
    ("by", "named"),
    [
        (D.MODEL, {"smollm2": 3, "deepseek-r1": 1}),
        (D.KEY, {"ci": 2, "no key": 2}),
        (D.MEMBER, {"bob@acme.example": 1, "no member": 3}),
        (D.TEAM, {"research": 1, "no team": 3}),
    ],
)
def test_groups(
    acme: Tenant,
    globex: Tenant,
    ci: ApiKey,
    bob: Member,
    team: Team,
    by: Dimension,
    named: dict[str, int],
) -> None:
    used(acme, NOON, api_key_id=ci.id, team_id=team.id)
    used(acme, NOON, api_key_id=ci.id, model="deepseek-r1")
    used(acme, NOON, member_id=bob.id)
    used(acme, NOON)
    used(globex, NOON, model="theirs", api_key_id=uuid4())
    rollup.roll_up()
    groups = UsageReport(acme, WEEK).groups(by)
    assert {g.name.text: g.figures.requests for g in groups} == named
    assert not any(g.name.former for g in groups)


def test_adapters_of_one_name_on_two_bases_are_apart(acme: Tenant) -> None:
    for model, adapter in (("a", "support"), ("a", "support"), ("b", "support"), ("a", "")):
        used(acme, NOON, model=model, adapter=adapter)
    rollup.roll_up()
    report = UsageReport(acme, WEEK)
    named = {"a:support": 2, "b:support": 1, "no adapter": 1}
    assert {g.name.text: g.figures.requests for g in report.groups(D.ADAPTER)} == named
    assert {g.id: g.figures.requests for g in report.groups(D.MODEL)} == {"a": 3, "b": 1}
    for id_, requests in (("a:support", 2), ("none", 1), ("c:support", 0)):
        only = UsageReport(acme, WEEK, {D.ADAPTER: id_})
        assert only.totals().requests == requests
        assert total(only.series()).requests == requests


def test_groups_over_all_tenants(acme: Tenant, globex: Tenant, ci: ApiKey) -> None:
    used(acme, NOON, api_key_id=ci.id)
    used(globex, NOON)
    used(globex, NOON)
    rollup.roll_up()
    report = UsageReport(None, WEEK)
    tenants = [(g.name.text, g.figures.requests) for g in report.groups(D.TENANT)]
    assert tenants == [("globex", 2), ("acme", 1)]
    assert {g.name.text for g in report.groups(D.KEY)} == {"ci · acme", "no key"}


def test_filters(acme: Tenant, ci: ApiKey, bob: Member) -> None:
    used(acme, NOON, api_key_id=ci.id, model="a")
    used(acme, NOON, api_key_id=ci.id, model="b")
    used(acme, NOON, member_id=bob.id, model="a")
    rollup.roll_up()

    def requests(where: dict[Dimension, UUID | str]) -> int:
        return UsageReport(acme, WEEK, where).totals().requests

    assert requests({D.KEY: ci.id}) == 2
    assert requests({D.KEY: ci.id, D.MODEL: "b"}) == 1
    assert requests({D.MEMBER: bob.id, D.MODEL: "b"}) == 0
    assert requests({D.KEY: NOBODY}) == 1
    groups = UsageReport(acme, WEEK, {D.MODEL: "a"}).groups(D.KEY)
    assert {g.name.text: g.figures.requests for g in groups} == {"ci": 1, "no key": 1}


def test_what_is_gone_is_shown_as_former(acme: Tenant, ci: ApiKey, bob: Member) -> None:
    used(acme, NOON, api_key_id=ci.id)
    used(acme, NOON, member_id=bob.id)
    rollup.roll_up()
    ci.revoke(by="test")
    gone = str(bob.id)[:8]
    bob.delete()
    report = UsageReport(acme, WEEK)
    keys = {g.name.text: g.name.former for g in report.groups(D.KEY)}
    assert keys == {"ci": True, "no key": False}
    members = {g.name.text: g.name.former for g in report.groups(D.MEMBER)}
    assert members == {f"former {gone}": True, "no member": False}


def test_another_tenants_id_has_no_name_here(acme: Tenant, globex: Tenant) -> None:
    theirs, _ = ApiKey.issue(globex, "secret plans", by="test")
    used(acme, NOON, api_key_id=theirs.id)
    rollup.roll_up()
    (group,) = UsageReport(acme, WEEK).groups(D.KEY)
    assert group.name.text == f"former {str(theirs.id)[:8]}"


def test_sorted_highest_first_and_bounded(acme: Tenant) -> None:
    for n in range(6):
        used(acme, NOON, model=f"m{n}", cost=(n * 5) % 6, prompt_tokens=100 - n)
    rollup.roll_up()
    report = UsageReport(acme, WEEK)
    costs = [g.figures.cost for g in report.groups(D.MODEL, "cost", 4)]
    assert costs == [5, 4, 3, 2]
    assert report.groups(D.MODEL, "prompt_tokens", 1)[0].name.text == "m0"
    assert report.groups(D.MODEL, "errors")[0].name.text == "m0"


@pytest.mark.parametrize("by", list(Dimension))
def test_a_page_takes_as_many_queries_for_one_group_as_for_many(
    acme: Tenant, by: Dimension, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    for n in range(20):
        key, _ = ApiKey.issue(acme, f"k{n}", by="test")
        used(acme, NOON, api_key_id=key.id, model=f"m{n}", member_id=uuid4(), team_id=uuid4())
    rollup.roll_up()
    report = UsageReport(acme, WEEK)
    with django_assert_max_num_queries(3):
        report.series()
        report.groups(by)


def test_nothing_used(acme: Tenant) -> None:
    report = UsageReport(acme, WEEK)
    assert report.totals() == total(report.series()) == UsageFigures()
    assert report.groups(D.MODEL) == []
    assert as_of() is None


def test_only_roll_ups_are_read(acme: Tenant) -> None:
    used(acme, NOON)
    assert UsageReport(acme, WEEK).totals().requests == 0
    rollup.roll_up()
    UsageHour.objects.all().delete()
    assert UsageReport(acme, WEEK).totals().requests == 1
