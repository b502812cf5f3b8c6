"""Files in the chat's composer, in a real Chromium."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tenants.models import Member
from tests import chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.soak,
    chromium.needed,
]


@pytest.fixture
def messages(page: Page) -> list[dict[str, Any]]:
    """Messages that the page sends over its socket, without pings."""
    messages: list[dict[str, Any]] = []

    def note(text: str | bytes) -> None:
        message = json.loads(text)
        if message["type"] != "ping":
            messages.append(message)

    def accept(socket: WebSocketRoute) -> None:
        socket.on_message(note)

    page.route_web_socket(re.compile("/ws/chat/"), accept)
    return messages


def test_a_file_is_sent_without_words(
    bob: Member, page: Page, sign_in_page: Any, messages: list[dict[str, Any]]
) -> None:
    sign_in_page("bob@acme.example")
    page.goto("/chat/")
    send = page.locator("#send")
    expect(send).to_be_disabled()
    note: Any = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"alpha"}
    page.locator("#file-chooser").set_input_files([note])
    expect(page.locator("#files")).to_contain_text("tokens")
    expect(send).to_be_enabled()
    send.click()
    expect(page.locator(".question-files")).to_contain_text("a.txt")
    expect(page.locator(".question-text")).to_be_hidden()
    (message,) = [each for each in messages if each["type"] == "send"]
    assert (message["text"], len(message["attachments"])) == ("", 1)
