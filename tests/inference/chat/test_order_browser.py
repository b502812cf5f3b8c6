"""What the page does when answers and acts come in another order than usual, in a real Chromium."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests import chromium
from tests.e2e.conftest import Mock
from tests.inference.chat.conftest import Connect
from tests.inference.chat.test_browser import (
    Enter,
    ask,
    browser,
    enter,
    finished,
    has_begun,
    last_answer,
)

__all__ = ["browser", "enter"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    chromium.needed,
]
# What the page sends waits while `holds` is set.
SOCKETS = """
  self.sockets = []; self.holds = false; self.held = []; const Old = WebSocket;
  self.WebSocket = class extends Old {
    constructor(...a) { super(...a); sockets.push(this); }
    send(message) { if (holds) held.push(() => super.send(message)); else super.send(message); }
  };
"""
HOLD, RELEASE = "holds = true", "holds = false; for (const send of held.splice(0)) send();"
TEXTS = """() => [localStorage, sessionStorage].flatMap((storage) => Object.entries(storage))
  .filter(([name, value]) => /^chat-(draft|queue)/.test(name)).map(([, value]) => value).join()"""


def entered(enter: Enter, path: str = "/chat/?tenant=acme") -> Page:
    page = enter(path="about:blank")
    page.add_init_script(SOCKETS)
    page.goto(path)
    return page


def kept_back(page: Page, address: str) -> list[Callable[[], None]]:
    """Holds back the next answer from there; what is in the list lets it go."""
    held: list[Callable[[], None]] = []

    def hold(route: Route) -> None:
        answer = route.fetch().json()
        held.append(lambda: route.fulfill(json=answer))

    page.route(address, hold, times=1)
    return held


def wake(page: Page, held: list[Callable[[], None]]) -> None:
    """Has the page catch up, and waits until its answer is held back."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    while not held:
        page.wait_for_timeout(50)


def test_a_conversation_stays_until_the_next_one_is_here(
    enter: Enter, connect: Connect, engine: Mock
) -> None:
    engine.behave(tokens=3)
    other = connect("bob", "acme")
    title = "The one that is opened"
    other.send(title)
    other.answer()
    engine.behave(tokens=120, interval_ms=10)
    page = enter()
    ask(page, "first")
    page.wait_for_url("**/chat/c/*/")
    here = page.url
    ask(page, "second")
    engine.behave(tokens=3)
    held = kept_back(page, "**/messages/")
    page.locator(".chat-item", has_text=title).first.get_by_role("link").click()
    expect(page.locator(".question")).to_have_text(["first", "second"], timeout=20_000)
    finished(page)
    assert page.url == here
    held[0]()
    expect(page.locator(".question")).to_have_text([title])
    page.context.set_offline(True)
    page.locator(".chat-item", has_text="first").first.get_by_role("link").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator(".question")).to_have_text([title])


def test_an_older_record_brings_nothing_back(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=3)
    page = enter()
    ask(page, "once")
    page.wait_for_url("**/chat/c/*/")
    finished(page)
    held = kept_back(page, "**/messages/")
    wake(page, held)
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".answer .siblings")).to_contain_text("2/2", timeout=20_000)
    finished(page)
    held[0]()
    page.wait_for_timeout(500)
    expect(page.locator(".answer")).to_have_count(1)
    expect(page.locator(".answer .siblings")).to_contain_text("2/2")


def test_what_is_not_confirmed_stays_with_its_conversation(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=3)
    page = entered(enter)
    new = page.get_by_role("button", name="New chat").first
    ask(page, "here")
    page.wait_for_url("**/chat/c/*/")
    finished(page)
    page.evaluate(HOLD)
    ask(page, "and here")
    new.click()
    ask(page, "elsewhere")
    ask(page, "later")
    new.click()
    expect(page.locator(".queued")).to_contain_text("Not sent")
    page.locator(".chat-item", has_text="here").first.get_by_role("link").click()
    expect(page.locator(".question")).to_have_text(["here", "and here"])
    page.evaluate(RELEASE)
    expect(page.get_by_role("button", name="Copy answer")).to_have_count(2)
    expect(page.locator(".chat-item", has_text="elsewhere")).to_have_count(1)
    page.wait_for_timeout(300)
    expect(page.locator(".chat-item", has_text="later")).to_have_count(0)


def test_a_stop_outlives_a_lost_connection(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=1500, interval_ms=10)
    page = enter()
    ask(page)
    has_begun(page)
    page.context.set_offline(True)
    expect(page.get_by_text("You are offline.")).to_be_visible()
    page.keyboard.press("Escape")
    page.context.set_offline(False)
    expect(last_answer(page)).to_contain_text("Stopped.", timeout=10_000)


def test_a_temporary_chat_and_a_sign_out_leave_no_texts(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=3)
    page = entered(enter, "/chat/?tenant=globex")
    field, switch = page.get_by_label("Your message"), page.get_by_label("Temporary chat")
    field.fill("a draft")
    page.reload()
    expect(field).to_have_value("a draft")
    switch.check()
    assert page.evaluate(TEXTS) == ""
    page.evaluate(HOLD)
    ask(page, "a secret")
    ask(page, "another")
    field.fill("a third")
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    assert page.evaluate(TEXTS) == ""
    page.get_by_role("button", name="New chat").first.click()
    expect(switch).to_be_visible()
    with page.expect_response("**/deletion/") as deleted:
        page.evaluate(RELEASE)
    assert deleted.value.status == 204
    switch.uncheck()
    page.evaluate(HOLD)
    ask(page, "kept")
    page.locator("[data-sign-out]").evaluate(
        "form => { form.onsubmit = () => false; form.requestSubmit(); }"
    )
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    assert page.evaluate(TEXTS) == ""


def test_one_socket_however_often_the_network_comes_back(enter: Enter) -> None:
    page = entered(enter)
    back = "for (let n = 0; n < 5; n++) dispatchEvent(new Event('online'))"
    page.evaluate(f"sockets.at(-1).close(); {back}")
    page.wait_for_timeout(1500)
    assert page.evaluate("sockets.filter(({ readyState }) => readyState <= 1).length") == 1


def test_an_older_list_takes_no_conversation_away(
    enter: Enter, connect: Connect, engine: Mock
) -> None:
    engine.behave(tokens=3)
    page = enter()
    held = kept_back(page, "**/chat/conversations/**")
    wake(page, held)
    ask(page, "Put into the list")
    finished(page)
    held[0]()
    page.wait_for_timeout(300)
    expect(page.locator(".chat-item", has_text="Put into the list")).to_have_count(1)
