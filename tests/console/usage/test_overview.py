from typing import Any

import pytest
from django.utils import timezone

from console.usage import figures, usage_by_minute
from console.usage.waiting_requests import WaitingCount
from inference.engines.health import reachability
from inference.models import State, Usage
from tenants.models import Member, Tenant, User
from tests.console.asked import completion
from tests.console.conftest import SignIn


@pytest.fixture(autouse=True)
def _queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "waiting", lambda tenant: WaitingCount(5, 12.0))


def test_live_figures_of_a_tenant(acme: Tenant, globex: Tenant) -> None:
    for ttft in range(10, 110, 10):
        completion(acme, ttft_ms=ttft, completion_tokens=60)
    completion(acme, state=State.FAILED, ttft_ms=None, completion_tokens=0)
    completion(acme, state=State.OPEN)
    completion(acme, seconds_ago=100, ttft_ms=1000)  # too old for the minute, not for latency
    completion(globex)
    assert figures.live(acme) == figures.Live(
        requests_per_minute=11,
        tokens_per_second=10.0,
        errors=1,
        ttft_p50=60,
        ttft_p95=1000,
        in_progress=1,
        waiting=WaitingCount(5, 12.0),
    )


def test_live_figures_of_the_platform(acme: Tenant, globex: Tenant) -> None:
    completion(acme), completion(globex), completion(globex, state=State.OPEN)
    live = figures.live(None)
    assert (live.requests_per_minute, live.in_progress) == (2, 1)


def test_nothing_measured_yet(acme: Tenant) -> None:
    live = figures.live(acme)
    assert (live.requests_per_minute, live.ttft_p50, live.tokens_per_second) == (0, None, 0)


def test_figures_are_kept_for_a_moment(acme: Tenant, django_assert_num_queries: Any) -> None:
    figures.live(acme)
    with django_assert_num_queries(0):
        figures.live(acme)


def test_the_chart_has_a_point_for_each_of_thirty_minutes(acme: Tenant, globex: Tenant) -> None:
    completion(acme, seconds_ago=120, completion_tokens=7)
    completion(acme, seconds_ago=120, state=State.FAILED, completion_tokens=1)
    completion(acme, seconds_ago=3600)
    completion(globex, seconds_ago=120)
    chart = figures.chart(acme)
    assert len(chart["minutes"]) == len(chart["requests"]) == 30
    assert [b - a for a, b in zip(chart["minutes"], chart["minutes"][1:], strict=False)] == [
        60
    ] * 29
    assert (sum(chart["requests"]), sum(chart["tokens"]), sum(chart["errors"])) == (2, 8, 1)


def test_shares(acme: Tenant, globex: Tenant) -> None:
    completion(acme, model="deepseek-r1"), completion(acme), completion(acme), completion(globex)
    models = [(share.name, share.requests) for share in figures.by_model(acme)]
    assert models == [("smollm2", 2), ("deepseek-r1", 1)]
    tenants = [(share.name, share.requests, share.tokens) for share in figures.by_tenant()]
    assert tenants == [("acme", 3, 138), ("globex", 1, 46)]


def test_the_page_polls_for_figures(acme: Tenant, alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    page = client.get("/console/t/acme/").content.decode()
    assert 'hx-get="/console/t/acme/live/"' in page
    part = client.get("/console/t/acme/live/")
    assert "no-store" in part["Cache-Control"]
    assert "<html" not in part.content.decode()


def test_a_tenant_is_not_told_about_others(
    acme: Tenant, globex: Tenant, alice: Member, sign_in: SignIn
) -> None:
    completion(acme), completion(globex)
    client = sign_in(alice)
    for part in ("", "shares/", "chart/", "live/"):
        assert "globex" not in client.get(f"/console/t/acme/{part}").content.decode()


def test_the_first_request_is_explained_until_it_has_come(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    assert "curl http" in client.get("/console/t/acme/").content.decode()
    completion(alice.tenant)
    assert "curl http" not in client.get("/console/t/acme/").content.decode()


def test_one_who_creates_no_keys_is_not_told_to(carol: Member, sign_in: SignIn) -> None:
    page = sign_in(carol).get("/console/t/acme/").content.decode()
    assert "No requests yet" in page
    assert "Create an API key" not in page
    assert "curl http" not in page


def test_an_operator_sees_the_whole_platform(
    acme: Tenant, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    completion(acme), completion(globex)
    page = sign_in(operator).get("/console/").content.decode()
    assert "Whole platform" in page
    assert "globex" in page


def test_a_minute_that_is_over_is_read_once(acme: Tenant, django_assert_num_queries: Any) -> None:
    completion(acme, seconds_ago=300), completion(acme, seconds_ago=100)
    first = usage_by_minute.last(30, acme, "model")
    Usage.objects.all().delete()  # whoever reads them again finds nothing
    completion(acme, seconds_ago=0)
    with django_assert_num_queries(1):
        second = usage_by_minute.last(30, acme, "model")
    counted = [sum(c.requests for c in m.values()) for m in second.values()]
    assert (sum(counted), counted[-1]) == (3, 1)
    assert list(first)[0] <= list(second)[0]


def test_a_row_that_comes_a_little_late_is_still_counted(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now().replace(second=5)
    monkeypatch.setattr(timezone, "now", lambda: now)
    usage_by_minute.last(30, acme, "model")
    completion(acme, seconds_ago=10)  # of the minute before, which was read already
    assert (
        usage_by_minute.summed(usage_by_minute.last(30, acme, "model").values())["smollm2"].requests
        == 1
    )


def test_an_engine_that_is_down_is_named(
    alice: Member, operator: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = ("/console/t/acme/", "/console/t/acme/live/", "/console/t/acme/models/")
    client, platform = sign_in(alice), sign_in(operator)
    monkeypatch.setattr(reachability, "_down", {})  # other tests have engines that nobody runs
    assert not any("down since" in client.get(page).content.decode() for page in pages)
    monkeypatch.setitem(reachability._down, "mock", timezone.now())
    assert all("down since" in client.get(page).content.decode() for page in pages)
    assert "The engine of mock has been down since" in platform.get("/console/").content.decode()
