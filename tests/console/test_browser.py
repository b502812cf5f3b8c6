"""The console in a real Chromium: what only a browser can tell."""

import re
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from audit.actions import Action
from audit.models import Event
from tenants.models import ApiKey, Link, Member, Tenant, User
from tenants.models.link import Purpose
from tests.console.asked import completion
from tests.console.conftest import PASSWORD

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine"),
]
CUT_OFF = re.compile("net::ERR_FAILED|htmx:sendError|htmx:afterRequest")  # we cut a poll off
PAGES = ("", "requests/", "keys/", "members/", "audit/", "limits/")


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs in our thread
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield chromium
    chromium.close()


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
def sign_in(page: Page) -> Any:
    def signed_in(email: str) -> None:
        page.goto("/login/")
        page.get_by_label("Email address").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile("/console/"))

    return signed_in


def test_from_the_first_run_link_to_a_tenants_first_key(db: None, page: Page) -> None:
    page.goto(urlsplit(Link.issue(Purpose.FIRST_RUN, by="test")).path)
    page.get_by_label("Email address").fill("grace@forebay.example")
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Set password and sign in").click()
    expect(page.get_by_role("heading", name="Whole platform")).to_be_visible()

    page.get_by_role("navigation").get_by_role("link", name="Tenants").click()
    page.locator("#id_name").fill("acme")
    page.get_by_label("Owner's email address").fill("alice@acme.example")
    page.get_by_role("button", name="Create tenant").click()
    expect(page.get_by_label("Invitation link")).to_have_value(re.compile("/welcome/"))

    page.get_by_role("link", name="Go to the tenant").click()
    page.get_by_role("link", name="Create an API key").click()
    page.get_by_label("Name").fill("fraud scoring")
    page.get_by_role("button", name="Create key").click()
    secret = page.get_by_label("API key", exact=True)
    expect(secret).to_have_value(re.compile("^sk-fb-"))
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret.input_value()
    page.reload()
    expect(page.get_by_text("fraud scoring")).to_be_visible()
    expect(secret).to_have_count(0)
    assert ApiKey.objects.count() == 1


def test_revoking_asks_first(alice: Member, page: Page, sign_in: Any) -> None:
    ApiKey.issue(alice.tenant, "ci", by="test")
    sign_in("alice@acme.example")
    page.goto("/console/t/acme/keys/")
    page.get_by_role("button", name="Revoke").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Revoke the key ci?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert ApiKey.objects.live().exists()
    page.get_by_role("button", name="Revoke").click()
    dialog.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("The key ci is revoked.")).to_be_visible()
    assert not ApiKey.objects.live().exists()


def test_live_figures_move_and_admit_when_they_do_not(
    alice: Member, page: Page, context: BrowserContext, sign_in: Any
) -> None:
    sign_in("alice@acme.example")
    live = page.locator("#live")
    expect(live).to_contain_text("0 / min")
    completion(alice.tenant)
    expect(live).to_contain_text("1 / min", timeout=8000)
    expect(page.get_by_text("Live figures are paused")).to_be_hidden()
    context.route("**/live/", lambda route: route.abort())
    expect(page.get_by_text("Live figures are paused")).to_be_visible(timeout=8000)
    context.unroute("**/live/")
    expect(page.get_by_text("Live figures are paused")).to_be_hidden(timeout=8000)
    assert page.locator("#chart-requests canvas").count() == 1


def test_a_filter_changes_the_rows_and_the_address(alice: Member, page: Page, sign_in: Any) -> None:
    sign_in("alice@acme.example")
    page.goto("/console/t/acme/audit/")
    expect(page.locator("#rows")).to_contain_text("Member added")
    page.get_by_label("What").select_option("session:login")
    expect(page.locator("#rows")).not_to_contain_text("Member added")
    expect(page.locator("#rows")).to_contain_text("Signed in")
    assert "action=session%3Alogin" in page.url
    page.reload()
    expect(page.get_by_label("What")).to_have_value("session:login")
    assert Event.objects.filter(action=Action.SESSION_LOGIN).count() == 1


def test_dark_light_and_chinese_are_remembered(alice: Member, page: Page, sign_in: Any) -> None:
    html = page.locator("html")
    page.emulate_media(color_scheme="dark")
    sign_in("alice@acme.example")
    expect(html).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="Colour theme").click()
    page.get_by_role("button", name="Light", exact=True).click()
    page.reload()
    expect(html).to_have_attribute("data-bs-theme", "light")
    page.get_by_role("contentinfo").get_by_role("button", name="简体中文").click()
    expect(page.get_by_role("heading", name="概览")).to_be_visible()
    page.goto("/console/t/acme/keys/")
    expect(page.get_by_role("button", name="创建密钥")).to_be_visible()


def test_a_phone_shows_every_page_without_sideways_scrolling(
    alice: Member, operator: User, globex: Tenant, page: Page, sign_in: Any
) -> None:
    completion(alice.tenant, member=alice)
    ApiKey.issue(alice.tenant, "a key with quite a long name for a phone", by="test")
    page.set_viewport_size({"width": 375, "height": 800})
    sign_in("op@forebay.example")
    inside = [f"/console/t/acme/{name}" for name in PAGES]
    for url in ["/console/", "/console/tenants/", "/console/requests/", "/console/audit/", *inside]:
        page.goto(url)
        sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(sideways) <= 0, url
