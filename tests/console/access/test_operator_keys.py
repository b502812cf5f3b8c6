"""The page of operators' keys: made with a second factor, shown once, revoked."""

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.utils import timezone, translation

from audit.actions import Action
from audit.models import Event
from audit.trail.request_origin import acting_with
from tenants import secret_keys
from tenants.models import Member, OperatorKey, Tenant, User
from tests.console.conftest import SignIn, prove

KEYS = "/console/operator-keys/"
FORM = {
    "name": "ansible",
    "days": "90",
    "scopes": ["engines:read", "engines:write"],
    "requests_per_minute": "100",
}


@pytest.fixture
def careful(operator: User) -> User:
    """The operator, with a second factor."""
    Authenticator.objects.create(user=operator, type=Authenticator.Type.TOTP, data={})
    return operator


def enter(person: User, sign_in: SignIn, *, method: str = "mfa", seconds_ago: float = 0) -> Client:
    """Signed in, and proven by this method so long ago."""
    client = sign_in(person)
    prove(client, person, seconds_ago)
    session = client.session
    session["account_authentication_methods"][0]["method"] = method
    session.save()
    return client


def made(maker: User, name: str = "ansible") -> OperatorKey:
    ends = timezone.now() + timedelta(days=9)
    return OperatorKey.issue(maker, name, scopes=["prices:read"], expires_at=ends)[0]


def test_a_key_is_shown_once(careful: User, sign_in: SignIn) -> None:
    client = enter(careful, sign_in)
    answer = client.post(KEYS, FORM)
    shown = answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    text = re.search(r'value="(sk-fbop-[^"]+)"', shown)
    assert text
    assert 'data-copy="#secret"' in shown
    key = OperatorKey.objects.get()
    assert bytes(key.digest) == secret_keys.digest(text[1])
    again = client.get(KEYS).content.decode()
    assert text[1] not in again
    assert f"sk-fbop-{key.public_id}" in again


def test_what_was_chosen_holds(careful: User, sign_in: SignIn) -> None:
    enter(careful, sign_in).post(KEYS, {**FORM, "allowed_networks": "192.0.2.0/24\n10.0.0.1"})
    key = OperatorKey.objects.get()
    assert key.requests_per_minute == 100
    assert (key.created_by, key.scopes) == (careful, ["engines:read", "engines:write"])
    assert key.allowed_networks == ["10.0.0.1/32", "192.0.2.0/24"]
    assert timedelta(days=89) < key.expires_at - timezone.now() <= timedelta(days=90)
    assert Event.objects.get(action=Action.OPERATOR_KEY_CREATE).actor == careful.actor


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"name": "x" * 81},
        {"days": "0"},
        {"days": "3650"},
        {"scopes": []},
        {"scopes": ["management:write"]},
        {"allowed_networks": "nowhere"},
        {"requests_per_minute": ""},
        {"requests_per_minute": "-1"},
    ],
)
def test_bad_input_makes_no_key(careful: User, sign_in: SignIn, bad: dict[str, Any]) -> None:
    answer = enter(careful, sign_in).post(KEYS, {**FORM, **bad})
    assert answer.status_code == 200
    assert "invalid-feedback" in answer.content.decode()
    assert not OperatorKey.objects.exists()


def test_without_a_second_factor_there_is_no_key_but_the_way_to_one(
    operator: User, sign_in: SignIn
) -> None:
    client = enter(operator, sign_in, method="password")
    assert "/account/two-factor/" in client.get(KEYS).content.decode()
    answer = client.post(KEYS, FORM)
    assert "Set up a second factor first" in answer.content.decode()
    assert not OperatorKey.objects.exists()


@pytest.mark.parametrize(("method", "seconds_ago"), [("password", 0), ("mfa", 601)])
def test_the_second_factor_is_asked_for_as_the_key_is_made(
    careful: User, sign_in: SignIn, method: str, seconds_ago: float
) -> None:
    """A password alone is no proof here."""
    client = enter(careful, sign_in, method=method, seconds_ago=seconds_ago)
    answer = client.post(KEYS, FORM, headers={"Referer": f"http://testserver{KEYS}"})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/proof/code/?next=%2Fconsole%2Foperator-keys%2F")
    assert not OperatorKey.objects.exists()


def test_any_operator_revokes_it_at_once(careful: User, sign_in: SignIn) -> None:
    key = made(careful)
    other = User.objects.create_user("second@forebay.example", is_operator=True)
    client = enter(other, sign_in, method="password", seconds_ago=3600)
    answer = client.post(f"{KEYS}{key.pk}/revocation/", follow=True)
    assert "The key ansible is revoked." in answer.content.decode()
    assert (answer.context["table"].rows, list(answer.context["revoked"])) == ([], [key])
    assert Event.objects.get(action=Action.OPERATOR_KEY_REVOKE).actor == other.actor


def test_only_operators_come_here(alice: Member, careful: User, sign_in: SignIn) -> None:
    key = made(careful)
    client = sign_in(alice)
    assert client.get(KEYS).status_code == 403
    assert client.post(KEYS, FORM).status_code == 403
    assert client.post(f"{KEYS}{key.pk}/revocation/").status_code == 403
    assert OperatorKey.objects.live().exists()


def test_the_name_is_text_not_markup(careful: User, sign_in: SignIn) -> None:
    made(careful, "<script>alert(1)</script>")
    assert "<script>alert" not in enter(careful, sign_in).get(KEYS).content.decode()


def test_the_page_is_in_chinese_too(careful: User, sign_in: SignIn) -> None:
    made(careful)
    client = enter(careful, sign_in)
    page = client.get(KEYS, headers={"Accept-Language": "zh-Hans"}).content.decode()
    with translation.override("zh-hans"):
        heading = translation.gettext("Operator keys")
    assert heading != "Operator keys"
    assert heading in page
    assert "Operator key" not in page


def test_the_trail_shows_the_key_by_name_and_who_made_it(
    acme: Tenant, alice: Member, careful: User, sign_in: SignIn
) -> None:
    """A tenant learns the key's name, and no operator's."""
    key = made(careful)
    with acting_with(key.described):
        acme.change(by=key.actor, burst=9)
    page = enter(careful, sign_in).get("/console/audit/", {"who": "ansible"}).content.decode()
    assert f"made_by: {careful.email}" in page
    assert "key_name: ansible" in page
    assert "burst" in page
    page = sign_in(alice).get("/console/t/acme/audit/").content.decode()
    assert "key_name: ansible" in page
    assert "Platform operator" in page
    assert careful.email not in page
