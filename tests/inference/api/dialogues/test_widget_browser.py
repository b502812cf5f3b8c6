"""The widget in a real Chromium, on a page of another origin with a strict policy."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import (
    BrowserContext,
    Locator,
    Request,
    Route,
    WebSocketRoute,
    async_playwright,
    expect,
)
from playwright.async_api import Page as Tab

from bench.servers.chromium import ARGUMENTS, PATH
from config.environment import PROJECT
from inference.api.dialogues import origins
from inference.api.http.cors import KnownOrigins
from inference.models import Dialogue, Role, WidgetKey
from inference.models.assistants.dialogue import Content
from tests import chromium
from tests.inference.api.conftest import in_database
from tests.inference.api.dialogues.conftest import Helpdesk
from tests.inference.api.dialogues.test_widget import fresh_limits
from tests.inference.api.dialogues.web_server import Page, application, running

__all__ = ["fresh_limits"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(240),
    pytest.mark.slow(seconds=30),
    chromium.needed,
]
SCRIPT = PROJECT / "static" / "widget" / "widget.js"


@dataclass
class Shop:
    """A tab on the shop's page."""

    page: Page
    key: WidgetKey
    forebay: str
    url: str
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    def show(self, attributes: str = "", policy: str = "", lang: str = "en") -> None:
        source = f'src="{self.forebay}/static/widget/widget.js" data-key="{self.key.text}"'
        self.page.html = (
            f'<!doctype html><html lang="{lang}"><title>Shop</title><main><h1>Shop</h1></main>'
            f"<script async {source} {attributes}></script></html>"
        )
        sockets = self.forebay.replace("http", "ws")
        self.page.policy = (
            f"default-src 'none'; base-uri 'none'; connect-src {self.forebay} {sockets}; "
            "require-trusted-types-for 'script'; trusted-types 'none'; "
            f"script-src {policy or self.forebay + '/static/widget/'}"
        )

    async def open(self) -> Tab:
        tab = await self.context.new_page()
        tab.on("console", lambda said: self.complaints.append(f"{said.type}: {said.text}"))
        tab.on("pageerror", lambda problem: self.complaints.append(str(problem)))
        await tab.goto(self.url)
        return tab


@pytest.fixture
async def shop(desk: Helpdesk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr(origins, "_of_widgets", KnownOrigins(origins._widgets_origins))
    page = Page()
    async with running(application) as forebay, running(page) as url, async_playwright() as started:
        assistant = await in_database(desk.tenant.assistants.get)()
        create = in_database(WidgetKey.create)
        key = await create(desk.tenant, "shop", assistant.pk, desk.key, [url], by="test")
        browser = await started.chromium.launch(executable_path=PATH, args=ARGUMENTS)
        context = await browser.new_context(locale="en-GB")
        shop = Shop(page, key, forebay, url, context)
        shop.show()
        yield shop
        await browser.close()
        assert [line for line in shop.complaints if "error" in line or "Refused" in line] == []


def log(tab: Tab) -> Locator:
    return tab.get_by_role("log")


async def write(tab: Tab, text: str) -> None:
    await tab.get_by_label("Write a message").fill(text)
    await tab.keyboard.press("Enter")


async def test_a_dialogue_by_keyboard_under_a_strict_policy(shop: Shop) -> None:
    tab = await shop.open()
    launcher = tab.get_by_role("button", name="Open the conversation")
    await launcher.press("Enter")
    await expect(tab.get_by_role("dialog", name="How can we help?")).to_be_visible()
    await expect(tab.get_by_label("Write a message")).to_be_focused()
    await expect(log(tab)).to_contain_text("Hello!")
    assert await log(tab).get_attribute("aria-live") == "polite"
    await write(tab, "When are you open?")
    await expect(log(tab)).to_contain_text("9 to 5.")
    assert await shop.context.cookies() == []
    await tab.keyboard.press("Escape")
    await expect(launcher).to_be_focused()
    await launcher.press("Enter")
    await tab.reload()  # an open one opens again, and goes on
    await expect(log(tab)).to_contain_text("9 to 5.")
    await expect(log(tab).get_by_text("When are you open?")).to_have_count(1)
    assert await in_database(Dialogue.objects.count)() == 1


async def test_people_answer_and_it_ends_with_an_opinion(shop: Shop) -> None:
    tab = await shop.open()
    await tab.get_by_role("button", name="Open the conversation").click()
    await expect(log(tab)).to_contain_text("Hello!")
    await write(tab, "I complain!")
    status = tab.get_by_role("status")
    await expect(status).to_contain_text("A member of our staff will answer here soon.")
    await in_database(_human_answers)("What <b>happened</b>?")
    await expect(log(tab)).to_contain_text("What <b>happened</b>?", timeout=20_000)
    await expect(status).to_contain_text("You are talking with a member of our staff.")
    await tab.get_by_role("button", name="End conversation").click()
    await expect(tab.get_by_role("button", name="1 of 5")).to_be_focused()
    await tab.get_by_role("button", name="4 of 5").click()
    await expect(status).to_have_text("Thank you.")
    row = await _eventually(lambda: Dialogue.objects.filter(satisfaction=4).first())
    assert row.status == "closed"
    await tab.get_by_role("button", name="New conversation").click()
    await expect(log(tab)).to_have_text(re.compile("^AssistantHello!$"))


async def test_an_end_that_is_heard_of_late_takes_no_thanks_away(shop: Shop) -> None:
    tab = await shop.open()
    late: list[Callable[[], None]] = []

    def opened(page: WebSocketRoute) -> None:
        def arrived(message: str | bytes) -> None:
            if late or '"closed"' in str(message):
                late.append(lambda: page.send(message))
            else:
                page.send(message)

        server = page.connect_to_server()
        page.on_message(server.send)
        server.on_message(arrived)

    await tab.route_web_socket(re.compile("/socket$"), opened)
    await tab.get_by_role("button", name="Open the conversation").click()
    await expect(log(tab)).to_contain_text("Hello!")
    await write(tab, "I complain!")
    status = tab.get_by_role("status")
    await expect(status).to_contain_text("A member of our staff will answer here soon.")
    await tab.get_by_role("button", name="End conversation").click()
    await tab.get_by_role("button", name="4 of 5").click()
    await expect(status).to_have_text("Thank you.")
    async with asyncio.timeout(20):
        while not late:
            await asyncio.sleep(0.1)
    for send in late:
        send()
    await tab.wait_for_timeout(500)
    await expect(status).to_have_text("Thank you.")


def _human_answers(text: str) -> None:
    row = Dialogue.objects.select_related("person").get()
    row.add(Role.HUMAN, Content([text]), author="member:1")
    row.move("with_human")  # type: ignore[arg-type]


async def _eventually(look: Any) -> Any:
    async with asyncio.timeout(20):
        while not (row := await in_database(look)()):
            await asyncio.sleep(0.1)
    return row


async def test_it_speaks_chinese_and_is_dark(shop: Shop) -> None:
    shop.show('data-theme="dark" data-title="商店"', lang="zh-CN")
    tab = await shop.open()
    await tab.get_by_role("button", name="打开对话").click()
    await expect(log(tab)).to_contain_text("您好！")
    host = tab.locator("#forebay-widget")
    assert await host.get_attribute("lang") == "zh-CN"
    panel = tab.get_by_role("dialog", name="商店")
    colour = await panel.evaluate("one => getComputedStyle(one).backgroundColor")
    assert colour == "rgb(22, 28, 36)"


async def test_a_nonce_or_a_hash_lets_it_in(shop: Shop) -> None:
    digest = base64.b64encode(hashlib.sha384(SCRIPT.read_bytes()).digest()).decode()
    integrity = f'integrity="sha384-{digest}" crossorigin="anonymous"'
    for attributes, source in (
        ('nonce="c2VjcmV0"', "'nonce-c2VjcmV0'"),
        (integrity, f"'sha384-{digest}'"),
    ):
        shop.show(attributes, source)
        tab = await shop.open()
        await expect(tab.get_by_role("button", name="Open the conversation")).to_be_visible()


async def test_where_no_socket_comes_through_it_reads_a_stream(shop: Shop) -> None:
    shop.show()
    shop.page.policy = shop.page.policy.replace(shop.forebay.replace("http", "ws"), "")
    tab = await shop.open()
    await tab.get_by_role("button", name="Open the conversation").click()
    await expect(log(tab)).to_contain_text("Hello!", timeout=20_000)
    await write(tab, "When are you open?")
    await expect(log(tab)).to_contain_text("9 to 5.", timeout=20_000)
    shop.complaints.clear()  # of the refused sockets


async def test_what_is_written_at_once_waits_for_the_dialogue(shop: Shop) -> None:
    tab, go, posts = await shop.open(), asyncio.Event(), list[str]()

    async def hold(route: Route) -> None:
        posts.append(route.request.method)
        await go.wait()
        await route.continue_()

    await tab.route("**/v1/widget/sessions", hold)
    launcher = tab.get_by_role("button", name="Open the conversation")
    await launcher.press("Enter")
    await write(tab, "When are you open?")
    await tab.keyboard.press("Escape")
    await launcher.press("Enter")
    go.set()
    await expect(log(tab)).to_contain_text("9 to 5.", timeout=20_000)
    await expect(log(tab)).to_have_attribute("aria-busy", "false")
    assert posts.count("POST") == 1
    assert await in_database(Dialogue.objects.count)() == 1


async def test_a_message_outlives_its_page(shop: Shop) -> None:
    tab, held = await shop.open(), list[Route]()

    async def hold_the_first(route: Route) -> None:
        if held:
            return await route.continue_()
        held.append(route)
        return None

    await tab.route("**/messages", hold_the_first)
    await tab.get_by_role("button", name="Open the conversation").click()
    await expect(log(tab)).to_contain_text("Hello!")
    await write(tab, "When are you open?")
    await expect(log(tab)).to_contain_text("When are you open?")
    await tab.reload()
    whole = re.compile(r"^AssistantHello!YouWhen are you open\?Assistant9 to 5\.$")
    await expect(log(tab)).to_have_text(whole, timeout=20_000)
    await tab.reload()
    await expect(log(tab)).to_have_text(whole, timeout=20_000)


async def test_a_message_that_failed_keeps_its_text_and_its_id(shop: Shop) -> None:
    tab, go, ids = await shop.open(), asyncio.Event(), list[str]()

    async def refuse(route: Route) -> None:
        body: Any = route.request.post_data_json
        ids.append(body["id"])
        if len(ids) == 2:
            await go.wait()
        await route.fulfill(status=400, headers={"access-control-allow-origin": "*"})

    await tab.route("**/messages", refuse)
    await tab.get_by_role("button", name="Open the conversation").click()
    await expect(log(tab)).to_contain_text("Hello!")
    await write(tab, "When are you open?")
    field = tab.get_by_label("Write a message")
    await expect(field).to_have_value("When are you open?")
    await field.press("Enter")
    await field.fill("On Sundays?")
    go.set()
    await expect(field).to_have_value("On Sundays?\nWhen are you open?")
    await expect(tab.get_by_role("status")).to_contain_text("Please send it again.")
    assert ids == ids[:1] * 2
    shop.complaints.clear()  # of the refused messages


async def test_a_slow_clock_keeps_the_dialogue(shop: Shop) -> None:
    """By a clock that is an hour behind the token would never expire."""
    tab, renewals = await shop.open(), list[str]()
    tab.on("request", lambda request: renewals.append(request.url) if _renews(request) else None)
    behind = datetime.now() - timedelta(hours=1)
    await tab.clock.install(time=behind)
    await tab.goto(shop.url)
    await tab.get_by_role("button", name="Open the conversation").click()
    await expect(log(tab)).to_contain_text("Hello!")
    assert len(renewals) == 1
    await tab.clock.fast_forward(30 * 60 * 1_000)
    await write(tab, "When are you open?")
    await expect(log(tab)).to_contain_text("9 to 5.")
    assert len(renewals) == 2


def _renews(request: Request) -> bool:
    return request.url.endswith("/v1/widget/sessions") and request.method == "POST"
