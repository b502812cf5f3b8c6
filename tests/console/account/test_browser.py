"""Second factors in a real Chromium: a virtual security key, an app, the pages on a phone."""

import re
from collections.abc import Iterator

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.sessions.backends.db import SessionStore
from playwright.sync_api import Page, expect

from tenants.models import ApiKey, Link, Member
from tests import chromium
from tests.console.account.conftest import code, with_app
from tests.console.account.virtual_key import Key, virtual_key
from tests.console.conftest import PASSWORD

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    chromium.needed,
]
EMAIL = "alice@acme.example"


@pytest.fixture
def key(page: Page) -> Iterator["Key"]:
    with virtual_key(page) as key:
        yield key


def enter(page: Page, email: str = EMAIL) -> None:
    page.goto("/login/?next=/console/t/acme/")
    page.get_by_label("Email address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def leave(page: Page) -> None:
    page.get_by_role("button", name="Your menu").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile("/login/"))


def test_a_security_key_is_enrolled_and_signs_in(
    alice: Member,
    required: None,
    page: Page,
    key: Key,
) -> None:
    enter(page)
    expect(page.get_by_role("heading", name="Two-step verification")).to_be_visible()
    page.get_by_role("link", name="Add", exact=True).nth(1).click()
    page.get_by_label("Name").fill("The red one")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("button", name="Copy").click()
    copied = page.evaluate("navigator.clipboard.readText()").split()
    assert len(copied) == 10
    page.get_by_role("link", name="Continue").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert Authenticator.objects.get(type="webauthn").user == alice.user

    leave(page)
    enter(page)
    page.get_by_role("button", name="Use a security key").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.goto("/account/two-factor/")
    expect(page.get_by_text("The red one")).to_be_visible()

    leave(page)
    enter(page)
    page.get_by_label("Code").fill(copied[0])
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_a_key_of_somebody_else_opens_nothing(
    alice: Member,
    page: Page,
    key: Key,
) -> None:
    enter(page)
    page.goto("/account/two-factor/keys/new/")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    leave(page)
    assert key.forget() == 1
    enter(page)
    page.get_by_role("button", name="Use a security key").click()
    expect(page.get_by_text("The security key did not respond")).to_be_visible()
    page.goto("/console/t/acme/")
    assert "/login/" in page.url


def test_an_app_is_enrolled_by_its_key_and_signs_in(
    alice: Member,
    required: None,
    page: Page,
) -> None:
    enter(page)
    page.get_by_role("link", name="Add", exact=True).first.click()
    expect(page.get_by_alt_text("QR code for the authenticator app")).to_be_visible()
    secret = page.get_by_label("Key for the authenticator app").input_value()
    page.get_by_label("Code that the app shows now").fill("000000")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("Incorrect code")).to_be_visible()
    page.get_by_label("Code that the app shows now").fill(code(secret))
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    leave(page)
    enter(page)
    page.get_by_label("Code").fill(code(secret, steps=1))
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_a_phone_shows_every_page_of_ones_account(alice: Member, page: Page) -> None:
    with_app(alice.user)
    page.set_viewport_size({"width": 375, "height": 800})
    enter(page)
    page.get_by_label("Code").fill(code())
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    for path in ("", "password/", "two-factor/", "two-factor/keys/new/", "two-factor/app/removal/"):
        page.goto(f"/account/{path}")
        sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(sideways) <= 0, path


def age_the_proofs(page: Page) -> None:
    """As if the person had proven who they are longer ago than an act wants it."""
    cookies = {str(c.get("name")): c.get("value") for c in page.context.cookies()}
    session = SessionStore(cookies["forebay_session"])
    for proof in session["account_authentication_methods"]:
        proof["at"] -= 700
    session.save()


def test_a_form_is_sent_again_after_the_proof(alice: Member, page: Page) -> None:
    enter(page)
    page.goto("/console/t/acme/members/")
    page.get_by_label("Email address").fill("frank@acme.example")
    page.get_by_label("Role").select_option("developer")
    page.get_by_label("The link works for").select_option("30")
    age_the_proofs(page)
    page.get_by_role("button", name="Create invitation link").click()
    expect(page.get_by_role("heading", name="Confirm your identity")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Invitation link")).to_have_value(re.compile("/welcome/"))
    expect(page.get_by_text("Nothing has been submitted yet.")).to_have_count(0)
    (invitation,) = Link.objects.invitations(alice.tenant)
    assert (invitation.email, invitation.role) == ("frank@acme.example", "developer")


def test_entries_of_a_form_whose_object_changed_meanwhile_are_not_lost(
    alice: Member, page: Page
) -> None:
    key, _text = ApiKey.issue(alice.tenant, "ci", by="test", created_by=alice)
    enter(page)
    page.goto(f"/console/t/acme/keys/{key.pk}/")
    page.get_by_label("Name").fill("nightly")
    age_the_proofs(page)
    key.change(by="test", allowed_networks=["127.0.0.0/8"])
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name="Confirm your identity")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Somebody has changed it meanwhile.")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("nightly")
    key.refresh_from_db()
    assert (key.name, key.allowed_networks) == ("ci", ["127.0.0.0/8"])


def test_entries_are_there_again_for_whoever_comes_back_without_a_proof(
    alice: Member, page: Page
) -> None:
    enter(page)
    page.goto("/console/t/acme/keys/")
    page.get_by_label("Name").fill("ci")
    age_the_proofs(page)
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("heading", name="Confirm your identity")).to_be_visible()
    page.goto("/console/t/acme/keys/")
    expect(page.get_by_text("Nothing has been submitted yet.")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("ci")
