"""Chat pages, in a real Chromium, whose person may not chat any more."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests import chromium
from tests.e2e.conftest import Mock, Platform
from tests.inference.chat.test_browser import Enter, ask, browser, enter, has_begun, last_answer

__all__ = ["browser", "enter"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    chromium.needed,
]
_CHARLIE = "Member.objects.get(user__email='charlie@globex.example')"
_WAKE = "document.dispatchEvent(new Event('visibilitychange'))"


def shell(platform: Platform, verb: str) -> None:
    imports = "from tenants.models import Member; from tenants.roles import Role"
    platform.manage("shell", "-v0", "-c", f"{imports}; {_CHARLIE}.{verb}")


@pytest.mark.parametrize(
    ("verb", "way_back", "reason"),
    [
        (
            "change_role(Role.AUDITOR, by='test')",
            "change_role(Role.MEMBER, by='test')",
            "You may no longer chat in this tenant.",
        ),
        (
            "tenant.suspend(by='test', reason='x')",
            "tenant.resume(by='test')",
            "This tenant is suspended or closed. Ask its owner.",
        ),
    ],
    ids=["member", "tenant"],
)
def test_a_page_says_that_its_person_was_shut_out_and_stops(
    enter: Enter, engine: Mock, platform: Platform, verb: str, way_back: str, reason: str
) -> None:
    engine.behave(tokens=400, interval_ms=50)
    page, sockets = enter("charlie", "/chat/"), list[object]()
    ask(page, "Begin.")
    has_begun(page, "t5")
    page.on("websocket", lambda opened: sockets.append(opened))
    shell(platform, verb)
    try:
        expect(page.get_by_role("alert")).to_contain_text(reason, timeout=10_000)
        stands_still(page, reason)
        assert not sockets
    finally:
        shell(platform, way_back)


def stands_still(page: Page, reason: str) -> None:
    expect(last_answer(page)).not_to_have_class(re.compile("streaming"))
    ask(page, "And now?")
    expect(page.get_by_label("Your message")).to_have_value("And now?")
    expect(page.locator(".question-text")).to_have_text(["Begin."])
    page.evaluate(_WAKE)
    page.locator("#list a").first.click()
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(page.get_by_role("alert")).to_contain_text(reason)
    expect(page.locator("#banner")).to_be_hidden()
