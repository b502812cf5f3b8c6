"""The chat page in a real Chromium, on a running platform."""

import os
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    FilePayload,
    Page,
    Route,
    expect,
    sync_playwright,
)

from bench.mock_engine.answers import words
from tests import chromium
from tests.e2e.ask import eventually
from tests.e2e.conftest import MOCK_SLOTS, Mock, Platform
from tests.inference.chat.conftest import Connect
from tests.inference.stream.reasoning_cases import CASES

pytestmark = [
    pytest.mark.browser,
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    chromium.needed,
]
# What we do on purpose: cutting the network, ending a session, deleting what a tab shows.
ON_PURPOSE = re.compile(
    r"net::ERR_INTERNET_DISCONNECTED|net::ERR_FAILED|WebSocket connection"
    r"|status of 40[14] .* /chat/(conversations/|c/[^/]+/messages/)"
)
Enter = Callable[..., Page]
Browse = Callable[[str], httpx.Client]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = chromium.launched(playwright)
        yield browser
        browser.close()


@pytest.fixture
def enter(browser: Browser, platform: Platform, people: dict[str, str]) -> Iterator[Enter]:
    """A person's chat page; the test fails when the browser complained (CSP, scripts, files)."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def heard(said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            complaints.append(f"{said.text} {path_of(said)}")

    def entered(who: str = "bob", path: str = "/chat/?tenant=acme", **options: Any) -> Page:
        options.setdefault("locale", "en-US")
        context = browser.new_context(base_url=platform.url, **options)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        cookie = {"name": "forebay_session", "value": people[who], "url": platform.url}
        context.add_cookies([cookie])  # type: ignore[list-item]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", heard)
        page.goto(path)
        return page

    yield entered
    for context in contexts:
        context.close()
    assert not [text for text in complaints if not ON_PURPOSE.search(text)]


def path_of(said: ConsoleMessage) -> str:
    return urlsplit(said.location["url"]).path


def ask(page: Page, text: str = "Say something.") -> None:
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def last_answer(page: Page) -> Any:
    return page.locator(".answer").last


def shown(page: Page) -> str:
    return str(last_answer(page).locator(".markdown").inner_text())


def finished(page: Page) -> None:
    expect(last_answer(page)).not_to_have_class(re.compile("streaming"), timeout=20_000)
    expect(last_answer(page).get_by_role("button", name="Copy answer")).to_be_visible()


def has_begun(page: Page, word: str = "t20") -> None:
    expect(last_answer(page).locator(".markdown")).to_contain_text(word, timeout=10_000)


def stored(browse: Browse, page: Page) -> str:
    found = browse("bob").get(page.url + "messages/").json()["messages"]
    return str(found[-1]["text"])


def test_asking_and_reading(enter: Enter, browse: Browse) -> None:
    page = enter()
    expect(page.get_by_text("What can I help with?")).to_be_visible()
    ask(page, "What is a forebay?")
    has_begun(page, "t5")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    finished(page)
    assert shown(page) == words(100).strip() == stored(browse, page).strip()
    expect(last_answer(page)).to_contain_text(re.compile(r"100 tokens · [\d.]+ tokens/s · first"))
    expect(page).to_have_title("What is a forebay? · Forebay")
    expect(page.locator(".chat-item.is-open")).to_have_text(re.compile("What is a forebay?"))
    last_answer(page).get_by_role("button", name="Copy answer").click()
    assert page.evaluate("navigator.clipboard.readText()") == words(100)


def test_a_file_goes_with_a_question(enter: Enter, browse: Browse) -> None:
    page = enter()
    names, content = ("notes.txt", "other.txt"), b"Meet at nine."
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach files").click()
    chooser.value.set_files(
        [FilePayload(name=name, mimeType="text/plain", buffer=content) for name in names]
    )
    files = page.get_by_role("list", name="Files of this message")
    expect(files.get_by_text("about 4 tokens")).to_have_count(2)
    files.get_by_role("button", name="Remove other.txt").press("Enter")
    expect(files.get_by_role("button", name="Remove notes.txt")).to_be_focused()
    expect(page.locator("#fit")).to_contain_text("left for this conversation")
    page.reload()
    expect(files.get_by_role("listitem")).to_have_count(1)
    ask(page, "When do we meet?")
    finished(page)
    expect(files).to_be_hidden()
    link = page.locator(".question").get_by_role("link", name=re.compile("notes.txt"))
    assert browse("bob").get(str(link.get_attribute("href"))).text == "Meet at nine."


def test_a_model_and_settings_are_chosen_by_keyboard(enter: Enter, browse: Browse) -> None:
    page = enter()
    model = page.get_by_role("combobox", name="Model")
    model.press("ArrowDown")
    models = page.get_by_role("listbox", name="Models")
    expect(models.get_by_role("option").first).to_contain_text("context of 4,096 tokens")
    model.fill("none like this")
    expect(page.get_by_text("No model has these words.")).to_be_visible()
    model.press("Escape")
    expect(model).to_have_value("mock")
    page.get_by_role("button", name="Settings of this chat").press("Enter")
    settings = page.get_by_role("dialog", name="Settings of this chat")
    settings.get_by_label("System prompt").fill("Be brief.")
    settings.get_by_label("Temperature").fill("0.5")
    settings.get_by_role("button", name="Use in this chat").press("Enter")
    expect(settings).to_be_hidden()
    ask(page)
    finished(page)
    opened = browse("bob").get(page.url + "messages/").json()
    assert opened["settings"] == {"system": "Be brief.", "temperature": 0.5}


@pytest.mark.soak("zh-CN")
@pytest.mark.parametrize(
    ("locale", "before"),
    [("en-US", r"\d before you, about \d+ seconds?\."), ("zh-CN", r"前面还有 \d 个，大约 \d+秒")],
)
def test_who_waits_sees_how_many_go_before(
    enter: Enter, connect: Connect, engine: Mock, locale: str, before: str
) -> None:
    page = enter(locale=locale)
    engine.behave(tokens=1200, interval_ms=50)
    others = connect("alice")
    asked = [others.send()["answer"]["id"] for _ in range(MOCK_SLOTS + 2)]
    engine.behave(tokens=20)
    page.locator("#text").fill("Hello")
    page.keyboard.press("Enter")
    waiting = last_answer(page).locator(".waiting")
    expect(waiting).to_contain_text(re.compile(before), timeout=10_000)
    if folder := os.environ.get("FOREBAY_TEST_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/waiting-{locale}.png")
    for message in asked:
        others.say("stop", message=message)
    expect(last_answer(page).locator(".markdown")).to_contain_text("t5", timeout=10_000)
    expect(waiting).to_have_count(0)


@pytest.mark.soak("tags")
@pytest.mark.parametrize("how", ["field", "tags"])
def test_reasoning_unfolds_while_it_is_thought(enter: Enter, engine: Mock, how: str) -> None:
    engine.behave(tokens=2000, interval_ms=20, reasoning=how)
    page = enter()
    thought = last_answer(page).locator(".reasoning")
    body = last_answer(page).locator(".markdown:not(.reasoning-text)")
    ask(page, "Think for long.")
    expect(thought.locator(".reasoning-text")).to_contain_text("t20", timeout=10_000)
    expect(thought.locator(".reasoning-text")).to_be_visible()
    expect(thought.locator("summary")).to_have_text(re.compile(r"^\s*Thinking… · \d+ s\s*$"))
    page.keyboard.press("Escape")
    expect(last_answer(page)).to_contain_text("Stopped.", timeout=10_000)
    expect(thought.locator("summary")).to_have_text(
        re.compile(r"^\s*Reasoning · \d+ s · about \d+ tokens\s*$")
    )
    expect(thought.locator(".reasoning-text")).not_to_be_visible()
    engine.behave(tokens=20, reasoning=how)
    ask(page, "Shorter.")
    answer = "".join(f" t{number}" for number in range(10, 20)).strip()
    expect(body).to_have_text(answer, timeout=10_000)
    finished(page)
    expect(thought.locator(".reasoning-text")).not_to_be_visible()
    last_answer(page).get_by_role("button", name="Copy answer").click()
    assert page.evaluate("navigator.clipboard.readText()").strip() == answer
    page.reload()
    expect(body).to_have_text(answer)
    thought.locator("summary").click()
    expect(thought.locator(".reasoning-text")).to_have_text(words(10).strip())


def test_the_page_parts_reasoning_as_the_platform_does(enter: Enter) -> None:
    page = enter()
    part = """async (said) => {
      const { parted } = await import('/static/chat/reasoning.js');
      return said.map(([text, field]) => parted(text, field));
    }"""
    found = page.evaluate(part, [list(said) for said, _ in CASES])
    assert [(one["text"], one["reasoning"]) for one in found] == [told for _, told in CASES]


def test_shift_enter_breaks_the_line(enter: Enter) -> None:
    page = enter()
    page.get_by_label("Your message").fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    expect(page.locator(".question")).to_have_text("one\ntwo", use_inner_text=True)
    finished(page)


def test_a_reload_in_mid_answer(enter: Enter, browse: Browse, engine: Mock) -> None:
    engine.behave(tokens=200, interval_ms=15)
    page = enter()
    ask(page)
    has_begun(page)
    page.wait_for_url("**/chat/c/*/")
    page.reload()
    has_begun(page)
    page.reload()
    finished(page)
    assert shown(page) == words(200).strip() == stored(browse, page).strip()


def test_losing_the_network_in_mid_answer(enter: Enter, browse: Browse, engine: Mock) -> None:
    engine.behave(tokens=250, interval_ms=15)
    page = enter()
    ask(page)
    has_begun(page)
    page.context.set_offline(True)
    expect(page.get_by_text("You are offline.")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("You are offline.")).not_to_be_visible(timeout=10_000)
    finished(page)
    assert shown(page) == words(250).strip() == stored(browse, page).strip()


@pytest.mark.soak
def test_losing_the_socket_again_and_again(enter: Enter, browse: Browse, engine: Mock) -> None:
    engine.behave(tokens=300, interval_ms=15)
    page = enter(path="about:blank")
    page.add_init_script(
        "self.sockets = []; const Old = WebSocket;"
        "self.WebSocket = class extends Old {"
        "  constructor(...a) { super(...a); sockets.push(this); } };"
    )
    page.goto("/chat/?tenant=acme")
    ask(page)
    for number in (20, 70, 120, 170):
        has_begun(page, f"t{number}")
        page.evaluate("sockets.at(-1).close()")
    finished(page)
    assert page.evaluate("sockets.length") >= 3  # a slow page may be behind
    assert shown(page) == words(300).strip() == stored(browse, page).strip()


def test_what_is_asked_offline_is_sent_later_and_once(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=5)
    page = enter()
    ask(page, "first")
    finished(page)
    page.context.set_offline(True)
    ask(page, "second")
    expect(page.locator("#turns").get_by_text("Waiting for the model…")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator(".answer")).to_have_count(2)
    finished(page)
    expect(page.locator(".question")).to_have_text(["first", "second"])
    page.reload()
    expect(page.locator(".question")).to_have_text(["first", "second"])


def test_a_record_that_was_read_before_a_question_leaves_it_shown(
    enter: Enter, engine: Mock
) -> None:
    """Coming back, the page sends what it kept and reads the conversation, both at once."""
    engine.behave(tokens=5)
    page, held = enter(), list[tuple[Route, Any]]()
    ask(page, "first")
    page.wait_for_url("**/chat/c/*/")
    finished(page)

    def hold(route: Route) -> None:
        record = route.fetch().json()
        held.append((route, {**record, "messages": record["messages"][:2]}))

    page.route("**/messages/", hold, times=1)
    page.context.set_offline(True)
    ask(page, "second")
    page.context.set_offline(False)
    expect(page.locator(".question")).to_have_text(["first", "second"])
    expect(page.get_by_role("button", name="Copy answer")).to_have_count(2)
    assert held
    for route, record in held:
        with page.expect_response("**/messages/"):
            route.fulfill(json=record)
    page.wait_for_timeout(300)
    expect(page.locator(".question")).to_have_text(["first", "second"])
    expect(page.get_by_role("button", name="Copy answer")).to_have_count(2)


def test_two_tabs_in_step(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=100, interval_ms=10)
    one = enter()
    ask(one, "first")
    one.wait_for_url("**/chat/c/*/")
    two = enter(path=one.url)
    finished(two)
    engine.behave(tokens=2000, interval_ms=10)
    ask(two, "second")
    expect(one.locator(".question")).to_have_text(["first", "second"])
    has_begun(one, "t3")
    expect(one.get_by_role("button", name="Stop")).to_be_visible()
    one.get_by_role("button", name="Stop").click()
    for page in (one, two):
        expect(last_answer(page)).to_contain_text("Stopped.")
    assert shown(one) == shown(two)


def test_a_conversation_begun_elsewhere_appears_in_the_list(enter: Enter, connect: Connect) -> None:
    page = enter()
    expect(page.locator("#list")).to_be_attached()
    connect("bob", "acme").send("Begun in another tab")
    item = page.locator(".chat-item", has_text="Begun in another tab")
    item.first.get_by_role("link").click()
    expect(page.locator(".question")).to_have_text("Begun in another tab")
    finished(page)
    assert shown(page) == words(100).strip()
    page.go_back()
    expect(page.get_by_text("What can I help with?")).to_be_visible()


def test_escape_stops(enter: Enter, browse: Browse, engine: Mock) -> None:
    engine.behave(tokens=2000, interval_ms=10)
    page = enter()
    ask(page)
    has_begun(page)
    page.keyboard.press("Escape")
    expect(last_answer(page)).to_contain_text("Stopped.")
    assert shown(page) == stored(browse, page).strip()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    eventually(lambda: engine.state()["running"] == 0, 3)


def test_a_refused_message_stays_in_the_text_field(enter: Enter, platform: Platform) -> None:
    page = enter("tim", "/chat/")
    for _ in range(2):  # the first one may use up the minute's only request
        ask(page, "A question that must not get lost")
        expect(page.locator(".turn-extras, #notice:visible").first).to_be_visible(timeout=10_000)
        if page.locator("#notice").is_visible():
            break
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"used up\. Try again in \d+ s"))
    expect(page.get_by_label("Your message")).to_have_value("A question that must not get lost")


def test_a_notice_with_a_button_fits_on_a_phone(enter: Enter) -> None:
    page = enter("sam", "/chat/?tenant=scarce", viewport={"width": 390, "height": 700})
    page.get_by_label("Your message").wait_for()
    boxes = page.evaluate(PARTS_OF_A_NOTICE)
    for one, other in combinations(boxes, 2):
        apart = one["right"] <= other["x"] or other["right"] <= one["x"]
        assert apart or one["bottom"] <= other["y"] or other["bottom"] <= one["y"]
    assert all(box["right"] <= 390 for box in boxes)


def test_a_shorter_answer_is_a_click_away(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=3)
    page = enter("sam", "/chat/?tenant=scarce")
    ask(page, "How long is the river?")
    page.get_by_role("button", name=re.compile("Get an answer of at most [0-9]+ tokens")).click()
    finished(page)
    expect(page.get_by_label("Your message")).to_have_value("")
    expect(page.get_by_role("alert")).to_be_hidden()


# Where the texts of a notice and of its button are, also where they run out of their boxes.
PARTS_OF_A_NOTICE = """async () => {
  const loaded = performance.getEntriesByType('resource').map((entry) => entry.name);
  const { notice } = await import(loaded.find((name) => name.includes('/chat/notices')));
  const text = '624 of 700 tokens are left today: too few for this message and its answer.';
  const action = { text: 'Get an answer of at most 423 tokens', run() {} };
  notice(text, { retryAfter: 40000, action });
  return [...document.querySelectorAll('#notice > *')].map((part) => {
    const range = document.createRange();
    range.selectNodeContents(part);
    return (part.textContent ? range : part).getBoundingClientRect();
  });
}"""

# The page's own module, and what it shows before a second has gone by.
NOTICE = """async (seconds) => {
  const loaded = performance.getEntriesByType('resource').map((entry) => entry.name);
  const { notice } = await import(loaded.find((name) => name.includes('/chat/notices')));
  notice('Used up.', { retryAfter: seconds });
  return document.querySelector('#notice [data-text]').textContent;
}"""


@pytest.mark.parametrize(
    ("locale", "sentence", "times"),
    [
        ("en-US", "Try again {}.", ["in 45 seconds", "in 20 minutes", "in 19 hours", "in 3 days"]),
        ("zh-CN", "请{}重试。", ["45秒钟后", "20分钟后", "19小时后", "3天后"]),
    ],
)
def test_when_to_come_back_is_told_in_a_unit_of_use(
    enter: Enter, locale: str, sentence: str, times: list[str]
) -> None:
    page = enter(locale=locale)
    for seconds, when in zip((45, 20 * 60, 67_552, 3 * 86_400), times, strict=True):
        assert page.evaluate(NOTICE, seconds) == f"Used up. {sentence.format(when)}"
    expect(page.get_by_role("alert")).to_contain_text(sentence.format(times[-1]))


def test_a_broken_answer_says_so(enter: Enter, engine: Mock) -> None:
    engine.behave(fail="drop_mid_stream", tokens=40)
    page = enter()
    ask(page)
    expect(last_answer(page)).to_contain_text("The model broke off this answer.")
    page.reload()
    expect(last_answer(page)).to_contain_text("The model broke off this answer.")


FROM_END = """() => {
  const thread = document.querySelector('#thread');
  return thread.scrollHeight - thread.scrollTop - thread.clientHeight;
}"""


def test_scrolling_up_is_respected(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=1500, interval_ms=3)
    page = enter(viewport={"width": 800, "height": 500})
    ask(page)
    has_begun(page, "t400")
    assert page.evaluate(FROM_END) < 60
    page.locator("#thread").hover()
    page.mouse.wheel(0, -300)
    has_begun(page, "t700")
    assert page.evaluate(FROM_END) > 200
    page.get_by_role("button", name="To the latest message").click()
    assert page.evaluate(FROM_END) < 60
    page.keyboard.press("Escape")


def test_renaming_and_deleting(enter: Enter, engine: Mock) -> None:
    page, other = in_two_tabs(enter, engine)
    item = page.locator(".chat-item.is-open")
    rename(page, "A better name")
    for tab in (page, other):
        expect(tab.get_by_role("heading", level=1)).to_have_text("A better name")
    item.get_by_role("button", name=re.compile("Actions")).click()
    item.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("Delete “A better name” with all its messages?")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("What can I help with?")).to_be_visible()
    expect(other.get_by_role("alert")).to_contain_text("This conversation has been deleted.")


def in_two_tabs(enter: Enter, engine: Mock) -> tuple[Page, Page]:
    """Returns two tabs with one conversation."""
    engine.behave(tokens=3)
    page = enter()
    ask(page, "to be renamed")
    finished(page)
    return page, enter(path=page.url)


def rename(page: Page, title: str) -> None:
    item = page.locator(".chat-item.is-open")
    item.get_by_role("button").click()
    item.get_by_role("button", name="Rename", exact=True).click()
    page.get_by_label("Title").fill(title)
    page.keyboard.press("Enter")


def test_an_open_menu_stays_while_the_list_changes(enter: Enter, engine: Mock) -> None:
    page, other = in_two_tabs(enter, engine)
    item = other.locator(".chat-item.is-open")
    item.get_by_role("button").click()
    rename(page, "Another name")
    expect(other.get_by_role("heading", level=1)).to_have_text("Another name")
    other.wait_for_timeout(500)  # the list has been read again
    expect(item.get_by_role("button", name="Delete", exact=True)).to_be_visible()
    other.keyboard.press("Escape")
    expect(item.get_by_role("link")).to_have_text("Another name")


def test_signing_out_elsewhere(enter: Enter) -> None:
    page = enter("alice", "/chat/")
    page.wait_for_timeout(300)
    context = page.context
    context.clear_cookies()
    page.context.set_offline(True)
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_contain_text("You have been signed out.")
    expect(page.get_by_role("link", name="Sign in again")).to_be_visible()


@pytest.mark.soak("dark")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(enter: Enter, engine: Mock, scheme: str) -> None:
    engine.behave(tokens=60)
    page = enter(viewport={"width": 375, "height": 700}, has_touch=True, color_scheme=scheme)
    ask(page, "A rather_long_word_" + "x" * 80)
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.get_by_role("button", name="Conversations").click()
    expect(page.get_by_role("button", name="Close")).to_be_visible()
    page.locator("#conversations").get_by_role("button", name="New chat").click()
    expect(page.get_by_text("What can I help with?")).to_be_visible()
    expect(page.locator("#conversations")).not_to_be_visible()


def test_everything_can_be_reached_by_keyboard(enter: Enter) -> None:
    page = enter()
    expect(page.get_by_label("Your message")).to_be_focused()
    ask(page, "keys")
    finished(page)
    reached: list[str] = []
    while "New chat" not in reached and len(reached) < 200:
        page.keyboard.press("Shift+Tab")
        reached.append(page.evaluate(FOCUSED))
    for wanted in ("Copy answer", "keys", "New chat"):
        assert wanted in reached


FOCUSED = "(document.activeElement.ariaLabel || document.activeElement.innerText).trim()"


# What an answer may look like --------------------------------------------------------------------
RENDER = """async (text) => {
  const { Growing } = await import('/static/chat/markdown.js');
  const place = document.createElement('div');
  document.querySelector('#turns').append(place);
  const growing = new Growing(place);
  for (let n = 1; n < text.length; n += 7) growing.show(text.slice(0, n));
  const grown = place.innerText;
  growing.finish(text);
  await new Promise((done) => setTimeout(done, 500));
  return { html: place.innerHTML, text: place.innerText, grown };
}"""


@pytest.fixture
def render(enter: Enter) -> Callable[[str], dict[str, str]]:
    page = enter()
    page.route("**/*", _only_ours)

    def rendered(text: str) -> dict[str, str]:
        found: dict[str, str] = page.evaluate(RENDER, text)
        return found

    return rendered


def _only_ours(route: Route) -> None:
    assert "127.0.0.1" in route.request.url, route.request.url
    route.continue_()


def test_prices_are_not_formulas(render: Callable[[str], dict[str, str]]) -> None:
    found = render("Between $5 and $10, or \\(x^2\\) and\n\n$$\\frac{a}{b}$$\n")
    assert "Between $5 and $10" in found["text"]
    assert found["html"].count('class="katex"') == 2
    assert found["html"].count("katex-display") == 1


def test_nothing_in_an_answer_runs_or_loads(render: Callable[[str], dict[str, str]]) -> None:
    attacks = [
        "<script>document.title = 'gone'</script>",
        "<img src=x onerror=\"document.title='gone'\">",
        "![p](http://elsewhere.example/p.png)",
        "[c](javascript:alert(1))",
        "[d](data:text/html,<script>alert(1)</script>)",
        '<a href="http://elsewhere.example" style="position:fixed" onclick="alert(1)">x</a>',
        "<iframe src=http://elsewhere.example></iframe>",
        "<svg onload=alert(1)>",
        "$$\\href{javascript:alert(1)}{x}$$",
        "$$\\includegraphics{http://elsewhere.example/p.png}$$",
        "```html\n<script>alert(1)</script>\n```",
        "| a |\n|---|\n| <form action=/logout/> |",
    ]
    html = render("\n\n".join(attacks))["html"]
    assert not re.search(r"<(script|img|iframe|form|svg onload)", html)
    assert not re.search(r'(href|src)="?(javascript|data):', html)
    assert not re.search(r"<[^>]+\son\w+=", html)
    for link in re.findall(r"<a [^>]*>", html):
        assert 'rel="noopener noreferrer nofollow"' in link


def test_code_is_coloured_and_can_be_copied(render: Callable[[str], dict[str, str]]) -> None:
    found = render("Look:\n\n```python\ndef f():\n    return 1\n```\n\nand `more`.")
    assert 'class="hljs-keyword"' in found["html"]
    assert 'aria-label="Copy code"' in found["html"]
    assert (
        found["text"].split()
        == "Look: python def f(): return 1 and more .".replace(" .", ".").split()
    )


def test_a_growing_answer_ends_as_the_whole_would(render: Callable[[str], dict[str, str]]) -> None:
    text = (
        "# Title\n\nOne *two*\n\n- a\n- b\n\n  more\n- c\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\nend."
    )
    found = render(text)
    assert "".join(found["text"].split()).startswith("".join(found["grown"].split())[:-1])
    assert found["html"].count("<li>") == 3
    assert found["html"].count("<tr>") == 2


WORDS_WHILE_GROWING = """async (text) => {
  const { Growing } = await import('/static/chat/markdown.js');
  const growing = new Growing(document.createElement('div'));
  const words = () => {
    const copy = growing.container.cloneNode(true);
    copy.querySelectorAll('[data-formula]').forEach((formula) => formula.remove());
    return [...copy.querySelectorAll('p, pre code')].map((block) => block.textContent.trim());
  };
  for (let n = 1; n <= text.length; n += 1) growing.show(text.slice(0, n));
  const grown = words();
  growing.finish(text);
  return { grown, whole: words() };
}"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_formulas_eat_no_text_while_an_answer_grows(enter: Enter, line_end: str) -> None:
    text = (
        "The sum $$a+b$$ and \\[x\\] and \\(y\\) in a line.\n\n"
        "A second paragraph\n$$z$$ goes on.\n\n"
        "```python\nprint(1)\n```\n\n\\[\n\\frac{a}{b}\n\\]\n\nAfter $$q$$\n\nthe end."
    ).replace("\n", line_end)
    words: dict[str, list[str]] = enter().evaluate(WORDS_WHILE_GROWING, text)
    assert words["grown"] == words["whole"]
    assert words["whole"][2:] == ["print(1)", "After", "the end."]


def test_an_operator_tries_a_model_from_its_page(enter: Enter, browse: Browse) -> None:
    """By keyboard, through the chat's door: the answer streams, and it is on record."""
    page = enter("olga", "/console/models/")
    page.get_by_text("Try it").click()
    page.get_by_label("A prompt for mock").fill("Say something.")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Send")).to_be_focused()
    page.keyboard.press("Enter")
    answer = page.get_by_role("region", name="Answer")
    expect(answer).to_contain_text("t5", timeout=10_000)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    told = page.get_by_text("Served by mock/mock/openai")
    figures = re.compile(r"First token after \d+ ms, 100 tokens\. The answer is complete\.$")
    expect(told).to_have_text(figures)
    expect(answer).to_contain_text("t99")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    link = page.get_by_role("link", name="Open it in the chat").get_attribute("href")
    messages = browse("olga").get(f"{link}messages/").json()["messages"]
    assert [found["author"] for found in messages] == ["user", "assistant"]
    assert messages[0]["text"] == "Say something."


def test_a_try_is_stopped(enter: Enter, engine: Mock) -> None:
    page = enter("olga", "/console/models/", locale="zh-CN")
    page.get_by_text("试一试").click()
    page.get_by_label("给 mock 的提示").fill("Say something.")
    engine.behave(tokens=500, interval_ms=20)
    page.get_by_role("button", name="发送").click()
    expect(page.get_by_role("region", name="回答")).to_contain_text("t5", timeout=10_000)
    page.get_by_role("button", name="停止").click()
    expect(page.get_by_text("个 token。已停止。")).to_be_visible(timeout=10_000)


def test_finding_sorting_and_sharing(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=3)
    page = enter()
    ask(page, "A question about 合同 and water")
    finished(page)
    last_answer(page).get_by_role("button", name="Bad answer").click()
    page.get_by_label("Reason", exact=True).fill("It is short.")
    page.get_by_role("dialog").get_by_role("button", name="Rate").click()
    bad = last_answer(page).get_by_role("button", name="Bad answer")
    expect(bad).to_have_attribute("aria-pressed", "true")
    item = page.locator(".chat-item.is-open")
    item.get_by_role("button").click()
    item.get_by_role("button", name="Pin").click()
    expect(page.get_by_role("heading", name="Pinned")).to_be_visible()
    page.locator("body").press("/")
    page.keyboard.type("合同")
    expect(page.locator("#results mark")).to_have_text("合同")
    page.keyboard.press("Escape")
    item.get_by_role("button").click()
    item.get_by_role("button", name="Share a copy").click()
    page.get_by_role("dialog").get_by_role("button", name="Share", exact=True).click()
    address = page.get_by_role("textbox", name="The address of the copy").input_value()
    copy = enter("alice", urlsplit(address).path)
    expect(copy.get_by_role("heading", level=1)).to_contain_text("A question about 合同")
    expect(copy.locator(".markdown")).to_contain_text("t1")


def test_a_temporary_chat_is_gone_when_one_leaves_it(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=3)
    page = enter("bob", "/chat/?tenant=globex")
    page.get_by_label("Temporary chat").check()
    expect(page.get_by_text("is deleted when you leave it")).to_be_visible()
    ask(page, "Nobody keeps this")
    finished(page)
    left, address = page.url, urlsplit(page.url).path
    page.get_by_role("button", name="New chat").first.click()
    expect(page.locator(".chat-item")).to_have_count(0)
    eventually(lambda: page.request.get(left).status == 404)
    assert address.startswith("/chat/c/")
