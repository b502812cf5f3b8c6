"""People who join by their links, set up two-step verification, and stay signed in."""

import base64
import hmac
import time

from playwright.sync_api import Browser, BrowserContext, Page, expect

from docs.screenshots.pictures import HEIGHT, PATIENCE_MS, WIDTH

PASSWORD = "water turns seven turbines"  # noqa: S105 (of people who are made up)
STEP_S = 30
TIME_ZONE = "Europe/Berlin"


def join(browser: Browser, link: str, name: str, email: str = "") -> BrowserContext:
    """Return a context of the browser in which this person is signed in."""
    context = browser.new_context(
        base_url=link.partition("/welcome/")[0],
        viewport={"width": WIDTH, "height": HEIGHT},
        color_scheme="light",
        locale="en-GB",
        timezone_id=TIME_ZONE,
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(link)
    if email:
        page.locator("[name=email]").fill(email)
    page.locator("[name=name]").fill(name)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=again]").fill(PASSWORD)
    page.get_by_role("button", name="Set password and sign in").click()
    page.wait_for_load_state()
    _set_up_app(page)
    return context


def _set_up_app(page: Page) -> None:
    page.goto("/account/two-factor/app/")
    secret = page.get_by_label("Key for the authenticator app").input_value()
    page.get_by_label("Code that the app shows now").fill(_code(secret))
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.close()


def _code(secret: str) -> str:
    """Return what an authenticator app shows now (RFC 6238)."""
    step = int(time.time()) // STEP_S
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8), "sha1")
    place = digest[-1] & 0x0F
    number = int.from_bytes(digest[place : place + 4]) & 0x7FFF_FFFF
    return f"{number % 1_000_000:06d}"


def speak(context: BrowserContext, url: str, language: str) -> None:
    """Have the person's pages in this language from now on."""
    context.add_cookies([{"name": "django_language", "value": language, "url": url}])
