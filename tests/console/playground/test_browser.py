"""The playground in a real Chromium, wide and narrow: runs, errors, code."""

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
    chromium.needed,
]
REQUEST = "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e"


class Models:
    """Answers in place of the platform's socket."""

    def __init__(self, page: Page) -> None:
        self.asked: list[dict[str, Any]] = []
        page.route_web_socket(re.compile("/ws/playground/"), self._open)

    def _open(self, socket: WebSocketRoute) -> None:
        socket.on_message(lambda text: self._answer(socket, json.loads(str(text))))

    def _answer(self, socket: WebSocketRoute, run: dict[str, Any]) -> None:
        self.asked.append(run)
        if run["fields"]["prompt"] == "fail":
            self._say(socket, type="error", status=429, code="rate_limit_exceeded", message="No.")
        else:
            delta = {"content": f"I am {run['model']}."}
            ends = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
            chunks = [{"choices": [{"delta": delta}]}, ends, {"usage": {"completion_tokens": 7}}]
            self._say(socket, type="started", request=REQUEST)
            self._say(socket, type="events", chunks=chunks)
        self._say(socket, type="end", upstream="mock")

    def _say(self, socket: WebSocketRoute, **message: Any) -> None:
        socket.send(json.dumps(message))


@pytest.mark.parametrize("width", [1440, 375])
def test_two_models_answer_side_by_side(
    bob: Member, page: Page, sign_in_page: Any, width: int
) -> None:
    models = Models(page)
    page.set_viewport_size({"width": width, "height": 900})
    sign_in_page("bob@acme.example")
    page.goto("/console/t/acme/playground/")
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Prompt", exact=True).fill("Who are you?")
    page.get_by_text("Parameters").click()
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Model 2").get_by_role("combobox").select_option(index=1)
    page.get_by_role("button", name="Run").click()
    answers = page.locator("[data-answer]")
    expect(answers.nth(0)).to_have_text(re.compile("^I am "))
    expect(answers.nth(1)).to_have_text(re.compile("^I am "))
    expect(page.locator("[data-told]").first).to_have_text(re.compile(r"7 tokens in .* complete"))
    expect(page.locator("[data-request]").first).to_have_attribute("href", re.compile(REQUEST))
    fields = {"system": "Be brief.", "prompt": "Who are you?", "temperature": "0.5"}
    assert [run["fields"] for run in models.asked] == [fields, fields]
    expect(page.locator("#text-playground-curl")).to_contain_text("Who are you?")
    page.locator("label", has_text="Python").click()
    expect(page.locator("#text-playground-python")).to_be_visible()
    expect(page.locator("#text-playground-python")).to_contain_text("temperature=0.5")
    page.get_by_label("Prompt", exact=True).fill("fail")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("[data-told]").first).to_have_text("Error 429 rate_limit_exceeded: No.")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
