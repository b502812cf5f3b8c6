"""The inbox in a real Chromium: live, by keyboard, on a phone."""

import json
import re
from typing import Any

import pytest
from django.db import transaction
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from inference.dialogues import changes, handing_over
from inference.models import Dialogue, DialogueStatus, Role
from inference.models.assistants.dialogue import Content
from tenants.models import Member
from tests import chromium
from tests.inference.dialogues.rows import a_dialogue, apart

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    chromium.needed,
]
INBOX = "/console/t/acme/inbox/"


class News:
    """The platform's end of the page's socket: a test says what changed."""

    def __init__(self, page: Page) -> None:
        self._sockets: list[WebSocketRoute] = []
        page.route_web_socket(re.compile("/ws/inbox/"), self._opened)

    def _opened(self, socket: WebSocketRoute) -> None:
        self._sockets.append(socket)
        socket.on_message(lambda _message: None)

    def close(self, code: int) -> None:
        self._sockets[-1].close(code=code)

    def tell(self, kind: str, **fields: str) -> None:
        self._sockets[-1].send(json.dumps({"type": kind, **fields}))


@pytest.fixture
def news(page: Page) -> News:
    return News(page)


def hand_over(member: Member, text: str) -> Dialogue:
    return handed_over(a_dialogue(member.tenant, text))


def handed_over(dialogue: Dialogue) -> Dialogue:
    with transaction.atomic():
        handing_over.hand_over(dialogue, "asked", by="test")
    return dialogue


def says(dialogue: Dialogue, text: str) -> None:
    with transaction.atomic():
        dialogue.refresh_from_db()
        dialogue.add(Role.PERSON, Content([text]))
        changes.announce_on_commit(dialogue.pk)


def test_a_member_answers_live_by_keyboard(
    alice: Member, page: Page, news: News, sign_in_page: Any
) -> None:
    sign_in_page("alice@acme.example")
    page.goto(INBOX)
    expect(page.get_by_text("Nobody waits")).to_be_visible()
    dialogue = apart(lambda: hand_over(alice, "I want a human"))
    news.tell("inbox")
    line = page.locator(".inbox-line")
    expect(line).to_have_count(1, timeout=20_000)
    expect(page).to_have_title(re.compile(r"^\(1\)"))

    line.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("I want a human")).to_be_visible()
    expect(page.get_by_label("Reply")).to_be_hidden()
    page.get_by_role("button", name="Take over").focus()
    page.keyboard.press("Enter")
    reply = page.get_by_label("Reply")
    expect(reply).to_be_visible()
    expect(page).to_have_title(re.compile(r"^[^(]"))

    reply.fill("Hello, I am Alice.")
    apart(lambda: says(dialogue, "My order is lost"))
    news.tell("dialogue", dialogue=str(dialogue.pk))
    expect(page.get_by_text("My order is lost")).to_be_visible(timeout=20_000)
    expect(reply).to_have_value("Hello, I am Alice.")
    reply.press("Control+Enter")
    expect(page.locator(".inbox-human")).to_contain_text("Hello, I am Alice.", timeout=20_000)
    expect(reply).to_have_value("")

    page.get_by_label("Note").fill("A loyal customer.")
    page.get_by_role("button", name="Write the note").click()
    expect(page.locator(".inbox-note")).to_contain_text("A loyal customer.", timeout=20_000)
    page.get_by_role("button", name="Give back to the assistant").click()
    expect(page.get_by_role("button", name="Take over")).to_be_visible()
    dialogue.refresh_from_db()
    assert dialogue.status == DialogueStatus.OPEN


def test_a_reply_is_sent_once_and_no_text_is_lost(
    alice: Member, page: Page, news: News, sign_in_page: Any, settings: Any
) -> None:
    dialogue = apart(lambda: hand_over(alice, "I want a human"))
    apart(lambda: handing_over.take_over(dialogue, alice))
    sign_in_page("alice@acme.example")
    page.goto(f"{INBOX}{dialogue.pk}/")
    field, replies = page.get_by_label("Reply"), page.locator(".inbox-human")

    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    def write_meanwhile(route: Route) -> None:
        field.fill("Where did you")
        route.continue_()

    page.route("**/reply/", write_meanwhile)
    page.route("**/reply/", lose_the_answer, times=1)
    field.fill("Hello, I am Alice.")
    field.press("Control+Enter")
    expect(replies).to_have_count(1)
    expect(field).to_have_value("Hello, I am Alice.")
    with page.expect_response("**/reply/"):
        field.press("Control+Enter")
    with page.expect_response("**/live/"):
        news.tell("dialogue", dialogue=str(dialogue.pk))
    expect(replies).to_have_count(1)
    expect(field).to_have_value("Where did you")

    page.unroute("**/reply/")
    page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)
    field.fill("Where did you order?")
    field.press("Control+Enter")
    page.wait_for_url(re.compile("/login/"))
    sign_in_page("alice@acme.example")
    page.goto(f"{INBOX}{dialogue.pk}/")
    expect(field).to_have_value("Where did you order?")


def test_news_and_a_full_house_leave_the_page_as_it_is(
    alice: Member, page: Page, news: News, sign_in_page: Any
) -> None:
    dialogue = apart(lambda: a_dialogue(alice.tenant, "Hello"))
    sign_in_page("alice@acme.example")
    page.goto(f"{INBOX}{dialogue.pk}/")
    button = page.get_by_role("button", name="Take over")
    button.focus()
    apart(lambda: handed_over(dialogue))
    news.tell("dialogue", dialogue=str(dialogue.pk))
    expect(page.locator("[data-inbox-head]")).to_contain_text("Waits for a human")
    expect(button).to_be_focused()
    page.get_by_label("Note").fill("A loyal customer.")
    news.close(4429)
    expect(page.get_by_text("Not connected")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("A loyal customer.")


def test_it_fits_a_phone(alice: Member, page: Page, news: News, sign_in_page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    text = "Where is my order with-a-number-that-is-long-for-a-phone-" * 3
    dialogue = apart(lambda: hand_over(alice, text))
    sign_in_page("alice@acme.example")
    for path in (INBOX, f"{INBOX}{dialogue.pk}/"):
        page.goto(path)
        expect(page.locator("[data-inbox]")).to_be_visible()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390
