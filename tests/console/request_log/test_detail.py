"""The page of a request, by role."""

import re
from typing import Any
from uuid import uuid4

from django.utils import timezone

from audit.models import Event
from inference.models import Completion, State
from tenants.models import ApiKey, Member, Tenant, User
from tests.console.asked import completion, refusal
from tests.console.conftest import SignIn


def url(row: Completion, part: str = "requests") -> str:
    return f"/console/t/{row.tenant.name}/{part}/{row.pk}/"


def recorded(row: Completion, **fields: Any) -> Event:
    same: dict[str, Any] = {"tenant_id": row.tenant_id, "request_id": row.pk, "actor": "key:x"}
    event = {"action": "completion:completed", **same, **fields}
    return Event.objects.create(at=timezone.now(), **event)


def test_the_page_shows_the_course_and_the_figures(
    bob: Member, sign_in: SignIn, settings: Any
) -> None:
    settings.CURRENCY = "EUR"
    key, _ = ApiKey.issue(bob.tenant, "fraud scoring", by="test")
    figures: dict[str, Any] = {
        "prompt_tokens": 1234,
        "cached_tokens": 1000,
        "cost": 42_000,
        "attempts": 2,
    }
    times: dict[str, Any] = {"queue_ms": 200, "ttft_ms": 300, "duration_ms": 900}
    row = completion(bob.tenant, api_key=key, pool="east", cache="l2", **figures, **times)
    recorded(row, upstream="east gpu-1", detail={"engine": "gpu-1"})
    page = sign_in(bob).get(url(row)).content.decode()
    for text in ("fraud scoring", "1,234", "1,000", "0.0420 EUR", "east", "gpu-1", "OpenAI API"):
        assert text in page
    assert re.search(r"\d\d:\d\d:\d\d\.\d{3}</td>", page)
    for text in ("200 ms", "100 ms", "600 ms", "Waited in the queue", "answered, from Redis"):
        assert text in page


def test_a_failed_request_says_why(bob: Member, sign_in: SignIn) -> None:
    row = completion(bob.tenant, state=State.FAILED, error_code="engine_failed")
    page = sign_in(bob).get(url(row)).content.decode()
    assert "502" in page
    assert "engine_failed" in page


def test_an_open_request_has_a_page(bob: Member, sign_in: SignIn) -> None:
    page = sign_in(bob).get(url(completion(bob.tenant, state=State.OPEN)))
    assert page.status_code == 200
    assert "In progress" in page.content.decode()


def test_events_are_for_those_who_read_the_trail(
    bob: Member, carol: Member, operator: User, sign_in: SignIn
) -> None:
    row = completion(bob.tenant)
    event = recorded(row)
    address = f"/console/t/acme/audit/{event.pk}/"
    assert address in sign_in(carol).get(url(row)).content.decode()
    assert address in sign_in(operator).get(url(row)).content.decode()
    developer = sign_in(bob).get(url(row)).content.decode()
    assert address not in developer
    assert "Events of the audit trail" not in developer


def test_what_limits_refused_the_same_caller_around_it(
    bob: Member, carol: Member, sign_in: SignIn
) -> None:
    key, _ = ApiKey.issue(bob.tenant, "fraud scoring", by="test")
    row = completion(bob.tenant, api_key=key)
    near = refusal(bob.tenant, actor=key.actor, tier="key_rate", limit=777, count=3)
    refusal(bob.tenant, actor=key.actor, tier="quota", seconds_ago=600)
    refusal(bob.tenant, actor=bob.actor, tier="tokens")
    (line,) = sign_in(bob).get(url(row)).context["refused"]
    assert (line.count, line.limit) == (3, 777)
    assert line.url == f"/console/t/acme/refusals/{near.pk}/"
    denied = recorded(
        row,
        action="access:denied",
        actor=key.actor,
        request_id=uuid4(),
        success=False,
        status=403,
        error_code="wrong_scope",
        detail={"count": 2},
    )
    assert len(sign_in(bob).get(url(row)).context["refused"]) == 1
    page = sign_in(carol).get(url(row))
    assert [(each.reason, each.count) for each in page.context["refused"]][1:] == [
        ("403 wrong_scope", 2)
    ]
    assert f"/console/t/acme/audit/{denied.pk}/" in page.content.decode()


def test_members_see_their_own_refusals_without_links(alice: Member, sign_in: SignIn) -> None:
    alice.role = "member"
    alice.save()
    row = completion(alice.tenant, member=alice)
    refusal(alice.tenant, actor=alice.actor, tier="quota")
    page = sign_in(alice).get(url(row, "own-requests"))
    assert [line.url for line in page.context["refused"]] == [""]
    assert "Refused to the same caller around it" in page.content.decode()


def test_texts_are_for_readers_on_their_own_page(
    bob: Member, carol: Member, sign_in: SignIn
) -> None:
    row = completion(bob.tenant)
    texts = f"/console/t/acme/audit/texts/{row.pk}/"
    assert texts in sign_in(carol).get(url(row)).content.decode()
    assert texts not in sign_in(bob).get(url(row)).content.decode()


def test_members_open_their_own_alone(
    acme: Tenant, bob: Member, dave: Member, sign_in: SignIn
) -> None:
    own, other = completion(acme, member=dave), completion(acme, member=bob)
    client = sign_in(dave)
    assert client.get(url(own, "own-requests")).status_code == 200
    assert client.get(url(other, "own-requests")).status_code == 404
    assert client.get(url(own)).status_code == 403


def test_another_tenants_request_does_not_exist(
    bob: Member, globex: Tenant, sign_in: SignIn
) -> None:
    foreign = completion(globex)
    client = sign_in(bob)
    assert client.get(url(foreign)).status_code == 404
    assert client.get(f"/console/t/acme/requests/{foreign.pk}/").status_code == 404
    assert client.get(f"/console/t/acme/requests/{uuid4()}/").status_code == 404
