from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from inference import request_id
from inference.models import State
from inference.usage import request_log
from tenants.models import ApiKey, Member, Tenant, User
from tests.console.asked import completion, refusal
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


def test_paging_loses_nothing(
    acme: Tenant, bob: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "PAGE", 3)
    every = [completion(acme, seconds_ago=n // 2).pk for n in range(10)]
    client, seen, cursor = sign_in(bob), [], ""
    for _ in range(5):
        page = client.get(REQUESTS, {"cursor": cursor}).context["page"]
        seen += [row.pk for row in page.rows]
        cursor = page.older
        if not cursor:
            break
    assert seen == sorted(every, reverse=True)


def test_times_are_those_of_receipt_though_ids_decide_the_order(acme: Tenant, ask: Any) -> None:
    """Up to version 0.1.0 a request's id was made some seconds after it was received."""
    at = timezone.now() - timedelta(minutes=5)
    late = completion(acme, id=request_id.new(at.timestamp() + 3), seconds_ago=300)
    assert ask(since=at.isoformat(), until=(at + timedelta(seconds=2)).isoformat()) == [late.pk]
    assert ask(until=at.isoformat()) == []


@pytest.mark.parametrize("cursor", ["x", "2026-11-25T00:00:00+00:00~x"])
def test_a_made_up_cursor(bob: Member, sign_in: SignIn, cursor: str) -> None:
    assert sign_in(bob).get(REQUESTS, {"cursor": cursor}).status_code == 404


def test_the_page_asks_the_database_a_fixed_number_of_times(
    bob: Member, sign_in: SignIn, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        completion(bob.tenant, member=bob)
    client = sign_in(bob)
    client.get("/account/")  # once a minute it is noted that somebody is there
    # With the savepoints of session and scopes, and what waits for the person.
    with django_assert_max_num_queries(34):
        client.get(REQUESTS)


def test_filters_on_callers_and_outcomes(acme: Tenant, bob: Member, dave: Member, ask: Any) -> None:
    key, _ = ApiKey.issue(acme, "batch", by="test")
    with_key = completion(acme, api_key=key)
    chat = completion(acme, member=dave, seconds_ago=6)
    failed = completion(acme, state=State.FAILED, error_code="engine_died", seconds_ago=7)
    mine = completion(acme, member=bob, seconds_ago=8, pool="far", session=uuid4())
    assert ask(key=str(key.pk)) == [with_key.pk]
    assert ask(member=str(dave.pk)) == [chat.pk]
    assert ask(code="502") == [failed.pk]
    assert ask(code="engine_died") == [failed.pk]
    assert ask(code="200") == [with_key.pk, chat.pk, mine.pk]
    assert ask(pool="far") == [mine.pk]
    assert ask(session=str(mine.usage.session)) == [mine.pk]
    assert ask(key=str(uuid4())) == []


def test_an_adapter_is_named_as_in_a_request(acme: Tenant, ask: Any) -> None:
    tuned = completion(acme, model="base", adapter="support", adapter_version="support@2")
    plain = completion(acme, model="base", seconds_ago=6)
    assert ask(model="base:support") == [tuned.pk]
    assert ask(model="base") == [tuned.pk, plain.pk]


def test_an_id_or_its_beginning_is_found_whatever_the_time(acme: Tenant, ask: Any) -> None:
    old = completion(acme, seconds_ago=90_000)
    completion(acme)
    now = timezone.now().strftime("%Y-%m-%dT%H:%M")
    text = str(old.pk)
    for typed in (text, text[:13], text.replace("-", ""), f"chatcmpl-{text}", text.upper()):
        assert ask(id=typed, since=now) == [old.pk]


def test_a_short_beginning_of_an_id_is_refused(bob: Member, sign_in: SignIn) -> None:
    answer = sign_in(bob).get(REQUESTS, {"id": "0192e"})
    assert "at least its first 6 digits" in answer.content.decode()


def test_the_id_of_a_refusal_leads_to_its_page(acme: Tenant, bob: Member, sign_in: SignIn) -> None:
    row = refusal(acme)
    answer = sign_in(bob).get(REQUESTS, {"id": row.public_id})
    assert answer["Location"].endswith(f"/refusals/{row.pk}/")


def test_a_rare_match_is_found_in_steps(
    acme: Tenant, bob: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step looks at few rows; the page says how far it came."""
    rare = completion(acme, model="rare", seconds_ago=100)
    for n in range(8):
        completion(acme, seconds_ago=n)
    monkeypatch.setattr(request_log, "WINDOW", 2)
    monkeypatch.setattr(request_log, "LARGEST_WINDOW", 2)
    client = sign_in(bob)
    assert client.get(REQUESTS, {"model": "rare"}).context["page"].rows == [rare]
    monkeypatch.setattr(request_log, "PATIENCE_S", -1.0)
    answer = client.get(REQUESTS, {"model": "rare"})
    page, steps = answer.context["page"], 0
    assert "The search went back to" in answer.content.decode()
    while not page.rows:
        steps += 1
        page = client.get(REQUESTS, {"model": "rare", "cursor": page.older}).context["page"]
    assert page.rows == [rare]
    assert steps == 4


def test_moments_of_a_link_show_in_the_readers_time_zone(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    page = client.get(REQUESTS, {"since": "2026-12-01T09:30:00+08:00"}).content.decode()
    assert 'value="2026-12-01T01:30"' in page


def test_a_request_is_one_line_with_its_cost(bob: Member, sign_in: SignIn, settings: Any) -> None:
    settings.CURRENCY = "EUR"
    completion(bob.tenant, cost=1_250_000)
    page = sign_in(bob).get(REQUESTS).content.decode()
    assert "Cost, EUR" in page
    assert "1.25" in page
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    assert "<div" not in body


def test_links_lead_to_the_usual_questions(bob: Member, sign_in: SignIn) -> None:
    failed = completion(bob.tenant, state=State.FAILED)
    completion(bob.tenant)
    client = sign_in(bob)
    (link,) = [p for p in client.get(REQUESTS).context["presets"] if p.label == "Failed today"]
    assert [row.pk for row in client.get(link.url).context["page"].rows] == [failed.pk]


def test_members_see_their_own_requests_alone(
    acme: Tenant, bob: Member, dave: Member, sign_in: SignIn
) -> None:
    own, _other = completion(acme, member=dave), completion(acme, member=bob)
    client = sign_in(dave)
    page = client.get("/console/t/acme/own-requests/")
    assert [row.pk for row in page.context["page"].rows] == [own.pk]
    assert client.get(REQUESTS).status_code == 403


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_that_no_page_can_show_is_none(bob: Member, sign_in: SignIn, since: str) -> None:
    answer = sign_in(bob).get(REQUESTS, {"since": since})
    assert answer.status_code == 200
    assert answer.context["form"].errors.keys() == {"since"}
