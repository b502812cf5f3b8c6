"""The inbox in a real Chromium: live, by keyboard, on a phone."""

import json
import re
from typing import Any

import pytest
from django.db import transaction
from playwright.sync_api import Page, WebSocketRoute, expect

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

    def tell(self, kind: str, **fields: str) -> None:
        self._sockets[-1].send(json.dumps({"type": kind, **fields}))


@pytest.fixture
def news(page: Page) -> News:
    return News(page)


def hand_over(member: Member, text: str) -> Dialogue:
    dialogue = a_dialogue(member.tenant, text)
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
