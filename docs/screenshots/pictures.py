"""What each picture of docs/images/ shows, and how a browser comes there."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Page, expect

FOLDER = Path(__file__).resolve().parents[1] / "images"
WIDTH, HEIGHT = 1280, 800
COLOURS = 256  # in the palette of a file: enough for text and charts, a third of the bytes
PATIENCE_MS = 300_000  # for an answer on a busy machine
OPERATOR, OWNER = "operator", "owner"
QUESTION = "Write a Python function that reverses a string, and say in one sentence how it works."


class Picture(NamedTuple):
    """A PNG file: who sees the page, in which language, and what leads to it."""

    name: str
    person: str
    language: str
    reach: Callable[[Page], None]


def overview(page: Page) -> None:
    page.goto("/console/")
    expect(page.locator("#chart-requests canvas")).to_be_visible()


def conversation(page: Page) -> None:
    """Show the only conversation. Nobody has asked yet: ask, and let it be answered twice."""
    page.goto("/chat/")
    page.wait_for_load_state()
    if not page.locator(".chat-item").count():
        _ask(page)
    page.locator(".chat-item a").first.click()
    expect(page.locator(".turn-extras")).to_be_visible()


def _ask(page: Page) -> None:
    page.locator("#text").fill(QUESTION)
    page.keyboard.press("Enter")
    again = page.get_by_role("button", name="Answer again")
    expect(again).to_be_visible(timeout=PATIENCE_MS)
    again.click()
    expect(page.locator(".siblings")).to_be_visible(timeout=PATIENCE_MS)
    expect(again).to_be_visible(timeout=PATIENCE_MS)


PICTURES = (
    Picture("console", OPERATOR, "en", overview),
    Picture("console.zh-CN", OPERATOR, "zh-hans", overview),
    Picture("chat", OWNER, "en", conversation),
    Picture("chat.zh-CN", OWNER, "zh-hans", conversation),
)


def take(page: Page, picture: Picture) -> Path:
    """Write the picture as a PNG with a palette, and return its path."""
    picture.reach(page)
    page.mouse.move(0, 0)
    page.wait_for_load_state()
    shot = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    path = FOLDER / f"{picture.name}.png"
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return path
