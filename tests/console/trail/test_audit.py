from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from audit.trail.record import act
from console.trail.audit_words import WORDS
from tenants.models import ApiKey, Member, Tenant, User
from tests.console.conftest import SignIn

AUDIT = "/console/t/acme/audit/"


@pytest.fixture
def ask(carol: Member, sign_in: SignIn) -> Any:
    client = sign_in(carol)

    def lines(**filters: str) -> list[tuple[str, str]]:
        answer = client.get(AUDIT, filters)
        return [(event.action, who) for event, _, _, who, _ in answer.context["lines"]]

    def told(**filters: str) -> list[list[tuple[str, str]]]:
        return [told for *_, told in client.get(AUDIT, filters).context["lines"]]

    lines.told = told  # type: ignore[attr-defined]
    return lines


def test_every_action_has_a_word_for_people() -> None:
    assert set(Action) <= set(WORDS)


def test_a_tenant_sees_its_own_record_only(alice: Member, charlie: Member, ask: Any) -> None:
    act(Action.SESSION_LOGIN, actor=charlie.actor, tenant_id=charlie.tenant_id)
    act(Action.SESSION_LOGIN, actor=alice.actor, tenant_id=alice.tenant_id)
    assert ask(action="session:login") == [("session:login", "alice@acme.example")]


def test_an_operator_sees_all(
    alice: Member, charlie: Member, operator: User, sign_in: SignIn
) -> None:
    for member in (alice, charlie):
        act(Action.SESSION_LOGIN, actor=member.actor, tenant_id=member.tenant_id)
    act(Action.SESSION_DENIED, actor="unknown", success=False)
    page = sign_in(operator).get("/console/audit/").content.decode()
    for said in ("alice@acme.example", "charlie@globex.example", "unknown person"):
        assert said in page


@pytest.mark.parametrize("who", ["alice@acme.example", "ALICE@acme.example", "Alice", "{actor}"])
def test_by_person(alice: Member, bob: Member, ask: Any, who: str) -> None:
    for member in (alice, bob):
        act(Action.SESSION_LOGIN, actor=member.actor, tenant_id=member.tenant_id)
    found = ask(who=who.format(actor=alice.actor), action="session:login")
    assert found == [("session:login", "alice@acme.example")]


def test_who_was_no_member_yet_is_found_and_named_too(
    alice: Member, charlie: Member, ask: Any
) -> None:
    for member in (alice, charlie):
        act(Action.LINK_USE, actor=f"user:{member.user_id}", tenant_id=alice.tenant_id)
    assert ask(who="alice@acme.example", action="link:use") == [("link:use", "alice@acme.example")]
    named = [who for _, who in ask(action="link:use")]
    assert named == [f"user:{charlie.user_id}", "alice@acme.example"]


def test_by_key(acme: Tenant, ask: Any) -> None:
    key, _ = ApiKey.issue(acme, "fraud scoring", by="test")
    act(Action.COMPLETION_RECEIVED, actor=key.actor, tenant_id=acme.id)
    expected = [("completion:received", "fraud scoring")]
    assert ask(who="fraud scoring") == expected
    assert ask(who=key.public_id) == expected
    assert ask(who="somebody else") == []


def test_a_person_of_another_tenant_is_not_known_here(charlie: Member, ask: Any) -> None:
    assert ask(who="charlie@globex.example") == []


def test_by_time(alice: Member, ask: Any) -> None:
    Event.objects.create(
        at=timezone.now() - timedelta(days=2),
        action=Action.SESSION_LOGIN,
        actor=alice.actor,
        tenant_id=alice.tenant_id,
    )
    act(Action.SESSION_LOGOUT, actor=alice.actor, tenant_id=alice.tenant_id)
    day_ago = (timezone.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    assert ask(until=day_ago) == [("session:login", "alice@acme.example")]
    assert "session:login" not in [action for action, _ in ask(since=day_ago)]


def test_acts_without_requests(alice: Member, ask: Any) -> None:
    act(Action.COMPLETION_RECEIVED, actor=alice.actor, tenant_id=alice.tenant_id)
    actions = [action for action, _ in ask(action="acts")]
    assert "completion:received" not in actions
    assert "member:add" in actions
    assert "completion:received" in [action for action, _ in ask()]


def test_people_by_name_where_the_record_has_ids(alice: Member, carol: Member, ask: Any) -> None:
    assert all(who in ("test", "carol@acme.example") for _, who in ask())


def test_a_former_member_stays_on_record(
    alice: Member, bob: Member, carol: Member, sign_in: SignIn
) -> None:
    act(Action.SESSION_LOGIN, actor=bob.actor, tenant_id=bob.tenant_id)
    short = str(bob.pk)[:8]
    bob.remove(by=alice.actor)
    page = sign_in(carol).get(AUDIT).content.decode()
    assert f"former member {short}" in page


def test_a_tenant_learns_no_operators_name(carol: Member, operator: User, ask: Any) -> None:
    act(Action.API_KEY_CREATE, actor=operator.actor, tenant_id=carol.tenant_id)
    assert ("api_key:create", "Platform operator") in ask()
    assert ask(who="op@forebay.example") == []


def test_an_actor_that_nobody_foresaw_breaks_nothing(carol: Member, ask: Any) -> None:
    for actor in ("key:not-a-uuid", "beat", "user:99999999999999999999", "member:"):
        act(Action.PROMPT_VIEW, actor=actor, tenant_id=carol.tenant_id)
    assert len(ask(action="prompt:view")) == 4


def test_texts_of_requests_are_not_shown(acme: Tenant, carol: Member, sign_in: SignIn) -> None:
    Event.objects.create(
        at=timezone.now(),
        action=Action.COMPLETION_COMPLETED,
        actor="key:x",
        tenant_id=acme.id,
        request_id=acme.id,
        model="smollm2",
        tokens_in=10,
        tokens_out=20,
        processing_ms=1500,
        error_code="engine_died",
        success=False,
        client_net="203.0.113.0",
        detail={"prompt": "must not appear"},
    )
    page = sign_in(carol).get(AUDIT).content.decode()
    for said in ("smollm2", "10 → 20 tokens", "1.5 s", "engine_died", "203.0.113.0/24", "failed"):
        assert said in page
    assert "must not appear" not in page


def test_a_change_says_what_was_and_what_is(carol: Member, acme: Tenant, ask: Any) -> None:
    key = ApiKey.issue(acme, "ci", by="test")[0]
    key.change(by="test", scopes=["inference", "batch"], burst=5)
    said = dict(ask.told(action="api_key:change")[0])
    assert said["scopes"] == "inference → batch, inference"
    assert said["burst"] == "– → 5"
    assert "key" not in said
