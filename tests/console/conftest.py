"""alice owns acme, bob develops there, carol audits, dave chats; charlie owns globex."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tenants.models import Member, Tenant, User
from tenants.roles import Role
from tests import chromium, people

PASSWORD = "a forebay holds the river"
CUT_OFF = re.compile("net::ERR_FAILED|htmx:sendError|htmx:afterRequest")  # we cut a poll off
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
SignIn = Callable[[User | Member], Client]


def hidden_fields(client: Client, address: str) -> dict[str, str]:
    """Returns what a browser sends back of a page beside what people enter."""
    return dict(HIDDEN.findall(client.get(address).content.decode()))


@pytest.fixture(autouse=True)
def _quick(settings: Any) -> Iterator[None]:
    """A cheap password hash, and no figures left over from another test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    caches["process"].clear()
    yield
    caches["process"].clear()


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice@acme.example", Role.OWNER)


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return join(acme, "bob@acme.example", Role.DEVELOPER)


@pytest.fixture
def carol(acme: Tenant) -> Member:
    return join(acme, "carol@acme.example", Role.AUDITOR)


@pytest.fixture
def dave(acme: Tenant) -> Member:
    return join(acme, "dave@acme.example", Role.MEMBER)


@pytest.fixture
def erin(acme: Tenant) -> Member:
    return join(acme, "erin@acme.example", Role.ADMIN)


@pytest.fixture
def charlie(globex: Tenant) -> Member:
    return join(globex, "charlie@globex.example", Role.OWNER)


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_user("op@forebay.example", PASSWORD, is_operator=True)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs in our thread
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = chromium.launched(playwright)
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser, live_server: LiveServer) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=live_server.url, locale="en-US")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Fails the test when the browser complained: the policy (CSP), a script, a missing file."""
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    yield page
    page.goto("about:blank")  # no poll may be under way when the database is emptied
    assert not [text for text in complaints if not CUT_OFF.search(text)]


@pytest.fixture
def sign_in_page(page: Page) -> Any:
    def signed_in(email: str) -> None:
        page.goto("/login/")
        page.get_by_label("Email address").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile("/console/"))

    return signed_in


@pytest.fixture
def sign_in() -> SignIn:
    def signed_in(who: User | Member) -> Client:
        client = Client()
        person = who.user if isinstance(who, Member) else who
        client.force_login(person, BACKEND)
        prove(client, person)
        return client

    return signed_in


def prove(client: Client, person: User, seconds_ago: float = 0) -> None:
    """As a sign-in leaves it: who has just come in has just proved who they are."""
    session = client.session
    proof = {"method": "password", "at": time.time() - seconds_ago, "reauthenticated": True}
    session["account_authentication_methods"] = [proof]
    session["account_authentication_methods_user"] = str(person.pk)
    session.save()


BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def join(tenant: Tenant, email: str, role: Role) -> Member:
    name = email.partition("@")[0].title()
    return people.join(tenant, email, role, PASSWORD, name=name)


@pytest.fixture(autouse=True)
def no_attempts_yet(request: pytest.FixtureRequest) -> None:
    """Other tests have tried passwords in the same minute."""
    if request.node.get_closest_marker("unit") is None:
        cache.clear()
