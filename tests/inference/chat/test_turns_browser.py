"""Acts on a message, in a real Chromium: edit, repeat, continue, queue, fork."""

import re

import pytest
from playwright.sync_api import Page, expect

from bench.mock_engine.answers import words
from tests import chromium
from tests.e2e.conftest import Mock
from tests.inference.chat.test_browser import (
    Browse,
    Enter,
    ask,
    browser,
    enter,
    finished,
    last_answer,
)

__all__ = ["browser", "enter"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    chromium.needed,
]


def questions(page: Page) -> list[str]:
    return page.locator(".question-text").all_inner_texts()


def edited(page: Page, text: str) -> None:
    page.locator(".question").last.hover()
    page.locator(".question").last.get_by_role("button", name="Edit", exact=True).click()
    page.locator(".question-edit textarea").fill(text)
    page.keyboard.press("Enter")


def test_an_edited_question_has_arrows_and_the_choice_is_remembered(
    enter: Enter, engine: Mock
) -> None:
    engine.behave(tokens=3)
    page = enter()
    ask(page, "first")
    finished(page)
    edited(page, "second")
    expect(page.locator(".question-text")).to_have_text(["second"])
    finished(page)
    expect(page.locator(".question .siblings")).to_contain_text("2/2")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".answer .siblings")).to_contain_text("2/2", timeout=20_000)
    page.locator(".question").hover()
    page.get_by_role("button", name="Previous version").first.click()
    expect(page.locator(".question-text")).to_have_text(["first"])
    expect(page.get_by_role("button", name="Next version")).to_be_focused()
    page.reload()
    expect(page.locator(".question-text")).to_have_text(["first"])
    expect(page.locator(".question .siblings")).to_contain_text("1/2")


def test_a_failed_answer_leads_on(enter: Enter, engine: Mock) -> None:
    engine.behave(fail="drop_mid_stream", tokens=40)
    page = enter()
    ask(page, "Will it work?")
    broken = page.locator("#turns").get_by_text("The model broke off this answer.")
    expect(broken).to_be_visible(timeout=20_000)
    for way in ("Try again", "Edit question", "Copy question", "Continue the answer"):
        expect(page.locator(".way-out").get_by_role("button", name=way)).to_be_visible()
    engine.behave(tokens=40)
    page.locator(".way-out").get_by_role("button", name="Try again").click()
    finished(page)
    expect(last_answer(page).locator(".markdown")).to_have_text(words(40).strip())
    expect(page.locator(".answer .siblings")).to_contain_text("2/2")
    assert questions(page) == ["Will it work?"]


def test_an_answer_goes_on_where_it_was_stopped(enter: Enter, browse: Browse, engine: Mock) -> None:
    engine.behave(tokens=400, interval_ms=10)
    page = enter()
    ask(page)
    expect(last_answer(page).locator(".markdown")).to_contain_text("t20", timeout=10_000)
    page.keyboard.press("Escape")
    expect(page.locator("#turns").get_by_text("Stopped.")).to_be_visible()
    before = last_answer(page).locator(".markdown").inner_text()
    engine.behave(tokens=3)
    page.get_by_role("button", name="Continue the answer").click()
    expect(last_answer(page).locator(".markdown")).not_to_have_text(before)
    finished(page)
    expect(page.locator(".answer")).to_have_count(1)
    whole = last_answer(page).locator(".markdown").inner_text()
    assert whole.startswith(before)
    assert len(whole) > len(before)
    page.reload()
    expect(page.locator(".answer")).to_have_count(1)
    assert last_answer(page).locator(".markdown").inner_text() == whole


@pytest.mark.parametrize(
    ("locale", "queue", "waits"),
    [
        ("en-US", "Send after this answer", "Waits for the answer"),
        ("zh-CN", "回答结束后发送", "等待当前回答结束"),
    ],
)
def test_a_message_waits_for_the_answer_and_a_draft_outlives_a_reload(
    enter: Enter, engine: Mock, locale: str, queue: str, waits: str
) -> None:
    engine.behave(tokens=150, interval_ms=20)
    page = enter(locale=locale)
    field = page.locator("#text")
    field.fill("one")
    page.keyboard.press("Enter")
    page.wait_for_url("**/chat/c/*/")
    field.fill("two")
    page.get_by_role("button", name=queue).click()
    expect(page.locator(".queued")).to_contain_text(waits)
    field.fill("a draft")
    page.reload()
    expect(field).to_have_value("a draft")
    expect(page.locator(".queued")).to_contain_text("two")
    engine.behave(tokens=3)
    expect(page.locator(".question-text")).to_have_text(["one", "two"], timeout=30_000)
    expect(page.locator(".queued")).to_have_count(0)
    expect(page.locator(".answer").nth(1)).not_to_have_class(
        re.compile("streaming"), timeout=20_000
    )
    page.locator("[data-bs-toggle=dropdown] .avatar").click()
    page.locator("[data-sign-out]").evaluate(
        "form => { form.onsubmit = () => false; form.requestSubmit(); }"
    )
    assert (
        page.evaluate("Object.keys(localStorage).filter((name) => name.startsWith('chat-draft'))")
        == []
    )


def test_a_fork_is_a_conversation_of_its_own(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=3)
    page = enter()
    ask(page, "branch me")
    finished(page)
    first = page.url
    page.get_by_role("button", name="Go on from here in a new chat").click()
    page.wait_for_url(lambda url: url != first)
    expect(page.locator(".question-text")).to_have_text(["branch me"])
    ask(page, "and on")
    expect(page.locator(".question-text")).to_have_text(["branch me", "and on"])
    finished(page)


def test_two_clicks_make_one_fork(enter: Enter, engine: Mock) -> None:
    engine.behave(tokens=3)
    page, posts = enter(), list[str]()
    page.on("request", lambda sent: posts.append(sent.url) if sent.method == "POST" else None)
    ask(page, "once")
    finished(page)
    first = page.url
    fork = page.get_by_role("button", name="Go on from here in a new chat")
    fork.evaluate("button => { button.click(); button.click(); }")
    page.wait_for_url(lambda url: url != first)
    page.wait_for_load_state("networkidle")
    assert [url.rsplit("/", 2)[1] for url in posts].count("fork") == 1


@pytest.mark.parametrize(
    ("locale", "words"),
    [("en-US", ["1 view", "2 views"]), ("zh-CN", ["已查看 1 次", "已查看 2 次"])],
)
def test_one_view_is_no_views(enter: Enter, locale: str, words: list[str]) -> None:
    page = enter(locale=locale)
    said = "[1, 2].map((n) => say('views', { n }))"
    assert page.evaluate(f"import('/static/chat/page.js').then(({{ say }}) => {said})") == words


BLOCKS = """async (texts) => {
  const { blocks, lexer } = await import('/static/chat/blocks.js');
  const html = (tokens) => lexer.parser(tokens).replace(/\\s+/g, '');
  const wrong = [];
  for (const text of texts) {
    const whole = html(lexer.lexer(text));
    for (let cut = 1; cut < text.length; cut += 1) {
      let [done, out] = [0, ''];
      for (const end of [cut, text.length]) {
        const { tokens, count, length } = blocks(text.slice(done, end));
        out += html(end === text.length ? tokens : tokens.slice(0, count));
        done += length;
      }
      if (out !== whole) wrong.push([text.slice(0, cut), out]);
    }
  }
  return wrong;
}"""
CORPUS = [
    "Given $$a$$ and $$b$$ here.\n\nNext with \\(x\\).\n\nThird \\[y\\] and\n\\[z\\]\nmore\n\n"
    "```py\na = 1\n\n\nb = 2\n```\n\nEnd $$q$$.\n\nLast",
    "Take\n$$a$$ and more\n\n- item $$a$$ x\n- b\n\n  still b\n\n- c\n\nAfter.\n\n1. one\n\n"
    "2. two\n   $$\n   x\n   $$\n3. three\n\nDone.",
    "# Title $$x$$\nText $$y$$\nmore \\[z\n+1\\] end\n\n> quote $$a$$\n> more\n\nlazy\n\n"
    "| a | b |\n|---|---|\n| $$x$$ | 2 |\n\n$$\n\\frac{a}{b}\n$$\n\nA price of $5 and $6.\n\n"
    "    code\n\n    more code\n\ntext",
    "**Step** $$a$$\n\n$$b$$\n\n$$c$$\ntext\n$$d$$\n\n```\n$$e$$\n\nx\n```\ntail\n\n~~~js\nlet a;"
    "\n~~~\n\nfin \\[x\\]\n\n\\[y\\]\n\nend\n",
    "中文公式 $$a$$ 后面。\n\n第二段 \\(b\\)。\n\n\\[c\\]\n\n第三段：\n\n* 一 $$d$$\n* 二\n\n完。",
]


def test_a_text_that_is_cut_anywhere_reads_as_the_whole(enter: Enter) -> None:
    assert enter().evaluate(BLOCKS, CORPUS) == []
