"""A form comes back after the proof, to its person, once, without secrets, and is sent again."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.test import Client

from console.post_only import page_of
from inference.queue.client import client as redis
from tenants.models import Member
from tenants.models.link import Link
from tests.console.conftest import BACKEND, PASSWORD, SignIn, prove

pytestmark = pytest.mark.django_db
PAGE = "/console/t/acme/members/"
SENT = {"email": "frank@acme.example", "role": "developer", "days": "3"}
Clock = Callable[[float], None]


def send(client: Client, path: str = PAGE + "invitation/", page: str = PAGE, **fields: str) -> Any:
    return client.post(path, {**SENT, **fields}, headers={"Referer": f"http://testserver{page}"})


def shown(client: Client, page: str = PAGE) -> str:
    found = re.search(r'id="entered"[^>]*>(.*?)</script>', client.get(page).content.decode(), re.S)
    return unescape(found[1]) if found else ""


@pytest.fixture
def late(alice: Member, sign_in: SignIn) -> Client:
    """Alice, a while after she signed in."""
    client = sign_in(alice)
    prove(client, alice.user, seconds_ago=700)
    return client


def test_it_comes_back_once_after_the_proof(late: Client) -> None:
    answer = send(late)
    assert answer["Location"].startswith("/account/proof/?next=")
    assert not Link.objects.exists()
    proof = late.get(answer["Location"])
    assert "Your form is then submitted." in proof.content.decode()
    back = late.post(answer["Location"], {"password": PASSWORD, "next": PAGE})
    assert back["Location"] == PAGE
    fields = shown(late)
    for name, value in SENT.items():
        assert f'["{name}", "{value}"]' in fields
    assert not Link.objects.exists()  # the page sends it, never the server
    assert shown(late) == ""


PROOF = "http://testserver/account/proof/code/?next=x"


@pytest.mark.parametrize(
    ("came_from", "seconds_ago", "sends"),
    [
        (PROOF, 0, True),
        (PROOF, 700, False),
        ("", 0, False),
        (f"http://testserver{PAGE}", 0, False),
        ("https://evil.example/account/proof/", 0, False),
    ],
)
def test_it_is_sent_again_straight_after_the_proof_alone(
    late: Client, alice: Member, came_from: str, seconds_ago: float, sends: bool
) -> None:
    send(late)
    prove(late, alice.user, seconds_ago)
    page = late.get(PAGE, headers={"Referer": came_from}).content.decode()
    assert ("data-sends" in page) == sends
    assert "data-entered" in page
    again = late.get(PAGE, headers={"Referer": came_from}).content.decode()
    assert "data-entered" not in again, "once"


def test_a_form_that_lost_a_secret_is_not_sent_again(late: Client, alice: Member) -> None:
    answer = send(late, client_secret="hidden")
    assert "Your entries will be restored." in late.get(answer["Location"]).content.decode()
    prove(late, alice.user)
    page = late.get(PAGE, headers={"Referer": PROOF}).content.decode()
    assert "data-entered" in page
    assert "data-sends" not in page


def test_the_form_of_a_foreign_page_is_not_kept(alice: Member) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice.user, BACKEND)
    prove(client, alice.user, seconds_ago=700)
    assert client.post(PAGE + "invitation/", SENT).status_code == 403
    assert "data-entered" not in client.get(PAGE).content.decode()


def test_after_a_mistake_it_comes_back_to_the_page_that_the_address_belongs_to(
    alice: Member, sign_in: SignIn
) -> None:
    """The form is shown again where it was sent to, and nobody can go there."""
    client, address = sign_in(alice), f"{PAGE}invitation/"
    wrong = send(client, email="nonsense")
    assert wrong.status_code == 200
    assert f'name="next" value="{PAGE}"' in wrong.content.decode(), "another language"
    prove(client, alice.user, seconds_ago=700)
    answer = send(client, page=address)
    proof = dict(parse_qsl(urlsplit(answer["Location"]).query))
    back = client.post(answer["Location"], {"password": PASSWORD, **proof})
    assert back["Location"] == PAGE
    assert "frank" in shown(client)


def test_so_it_does_after_a_new_sign_in(alice: Member, client: Client) -> None:
    answer = client.post(f"{PAGE}{alice.pk}/role/", {"role": "member"})
    assert answer["Location"] == f"/login/?next={PAGE}{alice.pk}/"


@pytest.mark.parametrize(
    ("address", "page"),
    [
        (PAGE, PAGE),
        (f"{PAGE}?page=2", f"{PAGE}?page=2"),
        (f"{PAGE}invitation/?page=2", PAGE),
        (PAGE + "{}/texts/release/", PAGE + "{}/"),
        ("/account/data/{}/deletion/", "/account/data/"),
        ("/console/t/acme/teams/{}/members/{}/leaving/", "/console/t/acme/teams/{}/"),
        ("/logout/", "/"),
        ("/nowhere/at/all/", "/"),
    ],
)
def test_the_page_of_an_address(address: str, page: str) -> None:
    one = str(uuid4())
    assert page_of(address.replace("{}", one)) == page.replace("{}", one)


def test_only_the_page_where_it_was_entered_shows_it(late: Client) -> None:
    send(late)
    assert shown(late, "/console/t/acme/teams/") == ""
    assert "frank" in shown(late)


def test_another_session_of_the_same_person_does_not_get_it(
    late: Client, alice: Member, sign_in: SignIn
) -> None:
    send(late)
    other = sign_in(alice)
    session = other.session
    session["entered"] = PAGE
    session.save()
    assert shown(other) == ""


def test_another_person_in_the_same_session_does_not_get_it(late: Client, bob: Member) -> None:
    send(late)
    session = late.session
    session["_auth_user_id"] = str(bob.user.pk)
    session["_auth_user_hash"] = bob.user.get_session_auth_hash()
    session.save()
    assert shown(late) == ""


def test_it_is_encrypted_and_short_lived(late: Client) -> None:
    send(late)
    names = list(redis().scan_iter("*entered:*"))
    assert len(names) == 1
    assert "frank" not in str(redis().get(names[0]))
    assert 0 < redis().ttl(names[0]) <= 600
    assert "frank" not in str(dict(late.session))
    cache.clear()
    assert shown(late) == ""


def test_no_secret_is_kept(late: Client) -> None:
    secrets = {"password1": "hidden-1", "client_secret": "hidden-2", "code": "hidden-3"}
    secrets["api_key"] = "hidden-4"
    send(late, **secrets, tokens_per_minute="1200")
    fields = shown(late)
    assert "hidden" not in fields
    assert "csrf" not in fields
    assert '["tokens_per_minute", "1200"]' in fields


def test_a_button_without_fields_is_pressed_again(late: Client, alice: Member, bob: Member) -> None:
    page = f"{PAGE}{bob.pk}/"
    late.post(f"{page}removal/", headers={"Referer": f"http://testserver{page}"})
    prove(late, alice.user)
    text = late.get(page, headers={"Referer": PROOF}).content.decode()
    assert f'data-entered="{page}removal/" data-sends' in text


def test_a_form_that_is_too_long_is_not_kept(late: Client) -> None:
    answer = send(late, email="x" * 40_000)
    page = late.get(answer["Location"]).content.decode()
    assert "Confirm your identity, then submit the form again." in page
    assert shown(late) == ""


def test_a_new_password_is_never_kept(late: Client, alice: Member) -> None:
    alice.user.set_unusable_password()
    alice.user.save()
    prove(late, alice.user, seconds_ago=700)
    late.force_login(alice.user, "allauth.account.auth_backends.AuthenticationBackend")
    prove(late, alice.user, seconds_ago=700)
    given = {"password1": "a brand new long one", "password2": "a brand new long one"}
    late.post("/account/password/first/", given)
    assert "brand new" not in str(dict(late.session))
