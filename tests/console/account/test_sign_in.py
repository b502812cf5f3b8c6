from typing import Any

import pytest
from django.test import Client

from audit.actions import Action
from audit.models import Event
from tenants.models import Member, User
from tenants.rate_limits.proxies import Proxies
from tests.console.conftest import PASSWORD, SignIn


def credentials(email: str, password: str = PASSWORD, **more: str) -> dict[str, str]:
    return {"login": email, "password": password, **more}


def acts(action: Action) -> list[tuple[str, Any, bool]]:
    events = Event.objects.filter(action=action).order_by("id")
    return [(event.actor, event.tenant_id, event.success) for event in events]


def test_a_member_signs_in_and_their_tenant_has_it_on_record(alice: Member, client: Client) -> None:
    answer = client.post("/login/", credentials("Alice@ACME.example"))
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert acts(Action.SESSION_LOGIN) == [(alice.actor, alice.tenant_id, True)]
    event = Event.objects.get(action=Action.SESSION_LOGIN)
    assert (event.subject_id, event.client_net) == (alice.subject_id, "127.0.0.0")


def test_a_wrong_password_is_refused_and_on_record(alice: Member, client: Client) -> None:
    answer = client.post("/login/", credentials("alice@acme.example", "guess"))
    assert answer.status_code == 200
    assert "Email address or password is wrong." in answer.content.decode()
    assert acts(Action.SESSION_DENIED) == [(alice.actor, alice.tenant_id, False)]


def test_an_unknown_address_gets_the_same_answer_and_is_not_kept(db: None, client: Client) -> None:
    answer = client.post("/login/", credentials("my-password-by-mistake@x.example"))
    assert "Email address or password is wrong." in answer.content.decode()
    assert acts(Action.SESSION_DENIED) == [("unknown", None, False)]
    assert Event.objects.get(action=Action.SESSION_DENIED).detail == {}


def test_a_closed_account_cannot_sign_in(alice: Member, client: Client) -> None:
    User.objects.filter(pk=alice.user.pk).update(is_active=False)
    assert client.post("/login/", credentials("alice@acme.example")).status_code == 200
    assert acts(Action.SESSION_DENIED) == [(alice.actor, alice.tenant_id, False)]


def test_an_operators_sign_in_is_no_tenants_business(operator: User, client: Client) -> None:
    client.post("/login/", credentials("op@forebay.example"))
    assert acts(Action.SESSION_LOGIN) == [(operator.actor, None, True)]


def test_signing_out_ends_the_session(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/console/t/acme/").status_code == 302
    assert acts(Action.SESSION_LOGOUT) == [(alice.actor, alice.tenant_id, True)]


def test_onward_only_within_the_house(alice: Member, client: Client) -> None:
    for onward in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        answer = client.post("/login/", credentials("alice@acme.example", next=onward))
        assert answer["Location"] == "/"
        client.post("/logout/")
    answer = client.post("/login/", credentials("alice@acme.example", next="/console/t/acme/keys/"))
    assert answer["Location"] == "/console/t/acme/keys/"


@pytest.mark.parametrize(
    ("who", "landing"),
    [
        ("operator", "/console/"),
        ("alice", "/console/t/acme/"),
        ("carol", "/console/t/acme/"),
        ("dave", "/chat/"),
    ],
)
def test_everybody_starts_where_they_belong(
    request: pytest.FixtureRequest, sign_in: SignIn, who: str, landing: str
) -> None:
    assert sign_in(request.getfixturevalue(who)).get("/")["Location"] == landing


def test_staff_asking_for_the_platform_land_in_their_tenant(alice: Member, sign_in: SignIn) -> None:
    assert sign_in(alice).get("/console/")["Location"] == "/console/t/acme/"


def test_a_person_without_a_tenant_is_told_what_to_do(db: None, sign_in: SignIn) -> None:
    client = sign_in(User.objects.create_user("nobody@x.example", PASSWORD))
    page = client.get("/", follow=True)
    assert page.status_code == 200
    assert "You belong to no tenant" in page.content.decode()


def test_a_poll_after_the_session_ended_goes_to_the_sign_in_page(
    acme: object, client: Client
) -> None:
    answer = client.get("/console/t/acme/live/", headers={"HX-Request": "true"})
    assert answer["HX-Redirect"] == "/login/"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "net"),
    [
        ("", "203.0.113.9", "127.0.0.0"),
        ("127.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.0"),
        ("127.0.0.1", "2001:db8:1:2::3", "2001:db8:1::"),
        ("10.0.0.1", "203.0.113.9", "127.0.0.0"),
        ("127.0.0.1", "nonsense", "127.0.0.0"),
    ],
)
def test_the_network_on_record(
    alice: Member, client: Client, settings: Any, proxies: str, forwarded: str, net: str
) -> None:
    settings.WEB_PROXIES = Proxies(proxies)
    client.post(
        "/login/",
        credentials("alice@acme.example"),
        headers={"X-Forwarded-For": forwarded},
    )
    assert Event.objects.get(action=Action.SESSION_LOGIN).client_net == net
