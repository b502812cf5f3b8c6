"""`/v1/docs` in a browser: from this host alone, in both languages, on a narrow screen."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import chromium
from tests.e2e.conftest import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.browser, chromium.needed, pytest.mark.timeout(400)]
NARROW = 390
HEADINGS = {"en-US": "Inference API", "zh-CN": "推理 API"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as running:
        browser = chromium.launched(running)
        yield browser
        browser.close()


@pytest.fixture(params=HEADINGS)
def page(
    request: pytest.FixtureRequest, browser: Browser, staged: Platform
) -> Iterator[tuple[Page, str]]:
    """The page, and its heading. Fails if the browser complained, or asked another host."""
    complaints, hosts = list[str](), set[str]()
    screen = {"width": NARROW, "height": 800}
    context = browser.new_context(base_url=staged.url, locale=request.param, viewport=screen)  # type: ignore[arg-type]
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("request", lambda asked: hosts.add("/".join(asked.url.split("/", 3)[:3])))
    page.goto("/v1/docs")
    yield page, HEADINGS[request.param]
    context.close()
    assert complaints == []
    assert {host for host in hosts if host.startswith("http")} == {staged.url}


@pytest.mark.soak("zh-CN")
def test_it_fits_a_narrow_screen_and_tries_an_operation(
    page: tuple[Page, str], staged: Platform
) -> None:
    shown, heading = page
    expect(shown.get_by_role("heading", level=1, name=heading)).to_be_visible()
    models = shown.locator("#operations-Models-list_models")
    expect(models).to_be_visible(timeout=60_000)
    assert _width(shown) <= NARROW
    shown.get_by_role("button", name="Authorize").click()
    shown.get_by_label("auth-bearer-value").fill(staged.new_key())
    assert _width(shown) <= NARROW
    shown.get_by_role("button", name="Apply credentials").first.click()
    shown.get_by_role("button", name="Close").first.click()
    shown.locator("#operations-Completions-create_chat_completion .opblock-summary").click()
    models.locator(".opblock-summary").click()
    assert _width(shown) <= NARROW
    models.get_by_role("button", name="Try it out").click()
    models.get_by_role("button", name="Execute").click()
    answer = models.locator(".live-responses-table .response-col_status")
    expect(answer.last).to_contain_text("200", timeout=30_000)
    assert _width(shown) <= NARROW


def _width(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))
