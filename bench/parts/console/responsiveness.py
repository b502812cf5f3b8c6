"""How soon the pages respond in a browser: the chat while it streams, and the first bytes of pages.

The chat streams 100 tokens a second from a mock engine, while somebody types, searches and opens
menus there. Chromium itself says how long each of their acts took until the next frame was painted
(Event Timing, the `interactionId` of which Interaction to Next Paint is made).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from bench.figures import Aim, cell, paragraphs, percentile, table, tell
from bench.load.generator import Options
from bench.servers.chromium import launched
from bench.servers.forebay import UNLIMITED, Forebay, forebay_on_mock_engine
from bench.servers.targets import MODEL, MockEngine, send

TOKENS_PER_S = 100
MOST_INTERACTION_MS, MOST_FIRST_BYTE_MS = 100, 150
REQUESTS = 500  # behind the pages of the console
TENANT, EMAIL = "acme", "alice@acme.example"
PASSWORD = "water turns seven turbines"
PATIENCE_MS = 120_000
BETWEEN_KEYS_MS = 120  # of somebody who types fast
PAGES = ("", "usage/", "requests/", "keys/", "members/", "quotas/", "audit/", "notices/")
# Shorter ones than 16 ms have no entry: the count of interactions knows of them.
_OBSERVE = """
window.acts = new Map();
new PerformanceObserver((list) => {
  for (const { interactionId, duration, name } of list.getEntries()) {
    if (!interactionId) continue;
    const before = window.acts.get(interactionId);
    if (!before || before.duration < duration) window.acts.set(interactionId, { name, duration });
  }
}).observe({ type: "event", durationThreshold: 16, buffered: true });
"""
_ACTS = "() => ({ count: performance.interactionCount, acts: [...window.acts.values()] })"
_FIRST_BYTE = "() => performance.getEntriesByType('navigation')[0].responseStart"
_ANSWER = "() => document.querySelector('#thread, main').innerText.length"


@dataclass(slots=True)
class Interactions:
    """Milliseconds until the next paint. `count` includes those too short to be listed."""

    count: int
    p98: float
    worst: float
    worst_act: str
    tokens_per_s: float  # that the page showed meanwhile


@dataclass(slots=True)
class PageTimes:
    page: str
    p50: float
    p95: float


@dataclass(slots=True)
class ResponsivenessReport:
    seconds: float
    rounds: int
    interactions: Interactions
    pages: list[PageTimes]
    first_byte_p95: float


def measure(rounds: int, seconds: float) -> ResponsivenessReport:
    with forebay_on_mock_engine() as (mock, forebay), sync_playwright() as playwright:
        link = _tenant(forebay)
        browser = launched(playwright)
        try:
            context = browser.new_context(base_url=link.partition("/welcome/")[0], locale="en-US")
            context.set_default_timeout(PATIENCE_MS)
            _join(context, link)
            interactions = _interactions(mock, context, seconds)
            times = _first_bytes(context, rounds)
        finally:
            browser.close()
    pages = [PageTimes(page, *_percentiles(each)) for page, each in times.items()]
    _p50, p95 = _percentiles([one for each in times.values() for one in each])
    return ResponsivenessReport(seconds, rounds, interactions, pages, p95)


def _tenant(forebay: Forebay) -> str:
    """Creates a tenant with some requests. Returns its owner's link."""
    made = json.loads(
        forebay.manage("create_tenant", TENANT, *UNLIMITED, "--admin", EMAIL, "--json")
    )
    key = json.loads(forebay.manage("create_api_key", TENANT, "--name", "load", "--json"))
    url = f"http://127.0.0.1:{forebay.port}/v1"
    same: dict[str, Any] = {"model": MODEL, "stream": False, "concurrency": 8}
    send(Options(url=url, key=str(key["api_key"]), requests=REQUESTS, warmup=0.0, **same))
    return str(made["admin"]["link"])


def _join(context: BrowserContext, link: str) -> None:
    page = context.new_page()
    page.goto(urlsplit(link).path)
    page.locator("[name=name]").fill("Alice")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=again]").fill(PASSWORD)
    page.get_by_role("button", name="Set password and sign in").click()
    page.wait_for_url("**/console/**")
    page.close()


# Interactions -------------------------------------------------------------------------------------
def _interactions(mock: MockEngine, context: BrowserContext, seconds: float) -> Interactions:
    tokens = round((seconds + 30) * TOKENS_PER_S)
    mock.control(tokens=tokens, interval_ms=1000 / TOKENS_PER_S)
    page = context.new_page()
    page.goto("/chat/")
    page.evaluate(_OBSERVE)
    _ask(page)
    before, began = page.evaluate(_ANSWER), page.evaluate("performance.now()")
    while page.evaluate("performance.now()") - began < seconds * 1000:
        _act(page)
    lasted = (page.evaluate("performance.now()") - began) / 1000
    characters = page.evaluate(_ANSWER) - before
    still = page.get_by_role("button", name="Stop").count()
    assert still, "the answer ended before the measurement"
    measured = page.evaluate(_ACTS)
    page.close()
    return _of(measured, characters / len(" t1000") / lasted)


def _ask(page: Page) -> None:
    page.locator("#text").fill("Tell me everything.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.wait_for_function("() => document.body.innerText.includes('t100')")


def _act(page: Page) -> None:
    """Types a line, searches, and opens and closes the menu of models. Escape ends an answer."""
    page.locator("#text").click()
    page.keyboard.type("and what about it", delay=BETWEEN_KEYS_MS)
    page.locator("#text").fill("")
    page.locator("#search").click()
    page.keyboard.type("water", delay=BETWEEN_KEYS_MS)
    page.locator("#search").fill("")
    page.locator("#model").click()
    page.locator("#search").click()  # the open menu covers the text


def _of(measured: dict[str, Any], tokens_per_s: float) -> Interactions:
    acts = sorted(measured["acts"], key=lambda act: float(act["duration"]))
    count = max(int(measured["count"]), len(acts))
    durations = [0.0] * (count - len(acts)) + [float(act["duration"]) for act in acts]
    worst_act = str(acts[-1]["name"]) if acts else ""
    p98, worst = percentile(durations, 98) or 0.0, max(durations, default=0.0)
    return Interactions(count, p98, worst, worst_act, tokens_per_s)


# First bytes --------------------------------------------------------------------------------------
def _first_bytes(context: BrowserContext, rounds: int) -> dict[str, list[float]]:
    """Returns the milliseconds of each page. The first visit, on cold caches, is left out."""
    paths = {name or "overview": f"/console/t/{TENANT}/{name}" for name in PAGES}
    paths = {name.strip("/"): path for name, path in paths.items()} | {"chat": "/chat/"}
    times: dict[str, list[float]] = {name: [] for name in paths}
    page = context.new_page()
    for number in range(rounds + 1):
        tell(f"pages, round {number}/{rounds}")
        for name, path in paths.items():
            page.goto(path)
            if number:
                times[name].append(float(page.evaluate(_FIRST_BYTE)))
    page.close()
    return times


def _percentiles(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return percentile(ordered, 50) or 0.0, percentile(ordered, 95) or 0.0


# Its page -----------------------------------------------------------------------------------------
def section(report: ResponsivenessReport) -> str:
    acts = report.interactions
    text = (
        f"Chromium on this machine, one person. For {report.seconds:.0f} s the chat showed "
        f"{acts.tokens_per_s:.0f} tokens/s of a mock engine, beside {acts.count} keys and clicks: "
        f"the next paint came after {acts.p98:.0f} ms (p98), {acts.worst:.0f} ms at most "
        f"({acts.worst_act or 'all below 16 ms'}). First bytes are those of {report.rounds} visits "
        f"of each page, over loopback; all of them: p95 {report.first_byte_p95:.0f} ms."
    )
    head = ("page", "first byte p50 ms", "p95 ms")
    rows = ((one.page, cell(one.p50), cell(one.p95)) for one in report.pages)
    return paragraphs(text, table(head, rows))


def aims(report: ResponsivenessReport) -> Iterator[Aim]:
    yield Aim(
        f"next paint after a key or click while {TOKENS_PER_S} tokens/s stream, p98",
        report.interactions.p98, "ms", MOST_INTERACTION_MS,
    )  # fmt: skip
    yield Aim("first byte of pages, p95", report.first_byte_p95, "ms", MOST_FIRST_BYTE_MS)
