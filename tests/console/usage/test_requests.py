from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from console import paging
from inference.models import State
from tenants.models import ApiKey, Member, Tenant, User
from tests.console.asked import completion
from tests.console.conftest import SignIn

REQUESTS = "/console/t/acme/requests/"


@pytest.fixture
def ask(bob: Member, sign_in: SignIn) -> Any:
    client = sign_in(bob)

    def rows(**filters: str) -> list[Any]:
        return [row.pk for row in client.get(REQUESTS, filters).context["page"].rows]

    return rows


def test_the_log_shows_what_came_of_a_request(bob: Member, sign_in: SignIn) -> None:
    key, _ = ApiKey.issue(bob.tenant, "fraud scoring", by="test")
    completion(bob.tenant, api_key=key, prompt_tokens=1234, completion_tokens=56, ttft_ms=87)
    page = sign_in(bob).get(REQUESTS).content.decode()
    for said in ("fraud scoring", "smollm2", "1,234", "56", "87 ms", "900 ms", "Done"):
        assert said in page


def test_the_log_shows_what_left_the_house(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    completion(bob.tenant)
    assert "It left this installation." not in client.get(REQUESTS).content.decode()
    completion(bob.tenant, pool="there", hosted=True)
    page = client.get(REQUESTS).content.decode()
    assert "It left this installation." in page
    assert "by there" in page


def test_an_open_request_has_no_figures_yet(bob: Member, sign_in: SignIn) -> None:
    completion(bob.tenant, state=State.OPEN)
    page = sign_in(bob).get(REQUESTS).content.decode()
    assert "In progress" in page
    assert "–" in page


def test_a_tenant_sees_its_own_only(bob: Member, globex: Tenant, ask: Any) -> None:
    mine, _ = completion(bob.tenant), completion(globex)
    assert ask() == [mine.pk]


def test_an_operator_sees_all(
    acme: Tenant, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    completion(acme), completion(globex)
    rows = sign_in(operator).get("/console/requests/").context["page"].rows
    assert {row.tenant for row in rows} == {acme, globex}


def test_filters(acme: Tenant, ask: Any) -> None:
    failed = completion(acme, state=State.FAILED, error_code="engine_died")
    other = completion(acme, model="deepseek-r1", seconds_ago=30)
    old = completion(acme, seconds_ago=7200)
    hour_ago = (timezone.now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    assert ask(state="failed") == [failed.pk]
    assert ask(model="deepseek-r1") == [other.pk]
    assert ask(since=hour_ago) == [failed.pk, other.pk]
    assert ask(until=hour_ago) == [old.pk]
    assert ask(id=str(other.pk)) == [other.pk]
    assert ask(state="failed", model="deepseek-r1") == []


def test_bad_filters_find_nothing_and_say_so(bob: Member, sign_in: SignIn) -> None:
    completion(bob.tenant)
    answer = sign_in(bob).get(REQUESTS, {"since": "yesterday", "id": "x"})
    assert answer.status_code == 200
    assert answer.context["page"].rows == []
    assert "Enter a valid date/time." in answer.content.decode()


def test_paging_by_time_and_id_loses_nothing(
    acme: Tenant, bob: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE", 3)
    every = {completion(acme, seconds_ago=n // 2).pk for n in range(10)}
    moments = acme.completions.values_list("created_at", flat=True)
    acme.completions.filter(created_at__lt=moments.earliest("created_at")).delete()
    acme.completions.update(created_at=timezone.now())  # one moment for all: the id decides
    client, seen, cursor = sign_in(bob), [], ""
    for _ in range(5):
        page = client.get(REQUESTS, {"cursor": cursor}).context["page"]
        seen += [row.pk for row in page.rows]
        cursor = page.older
        if not cursor:
            break
    assert len(seen) == 10
    assert set(seen) == every


@pytest.mark.parametrize("cursor", ["x", "2026-11-25T00:00:00~", "2026-11-25T00:00:00+00:00~x"])
def test_a_made_up_cursor(bob: Member, sign_in: SignIn, cursor: str) -> None:
    assert sign_in(bob).get(REQUESTS, {"cursor": cursor}).status_code == 404


def test_the_page_asks_the_database_a_fixed_number_of_times(
    bob: Member, sign_in: SignIn, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        completion(bob.tenant, member=bob)
    client = sign_in(bob)
    client.get("/account/")  # once a minute it is noted that somebody is there
    with django_assert_max_num_queries(18):  # with the savepoints of session and scopes
        client.get(REQUESTS)
