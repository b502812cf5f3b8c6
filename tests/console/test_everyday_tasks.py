"""Everyday tasks take the clicks that docs/console.md says, counted in a browser."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from playwright.sync_api import Locator, Page, Route, expect

from audit.checks import verified_export
from audit.exports import export_file, trail_export
from audit.models import DeletionRequest, Export
from tenants.models import ApiKey, Member
from tests import chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    chromium.needed,
]
PATIENCE_MS = 60_000  # the page looks every three seconds
_ROW = re.compile(r"\| (?P<task>[^|]+) \| (?P<clicks>\d+) \| [^|]+ \|")


class Clicks:
    """Clicks, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, target: Locator) -> None:
        target.click()
        self.count += 1


@pytest.fixture
def click() -> Clicks:
    return Clicks()


def documented(task: str) -> int:
    """The clicks that the table of everyday tasks gives."""
    text = (Path(django_settings.BASE_DIR) / "docs" / "console.md").read_text()
    rows = {row["task"]: int(row["clicks"]) for row in _ROW.finditer(text)}
    return rows[task]


@pytest.fixture
def menu(page: Page) -> Callable[[str], Locator]:
    return lambda name: page.get_by_role("navigation").get_by_role("link", name=name, exact=True)


def test_a_first_key_with_code_that_has_it(
    alice: Member, page: Page, sign_in_page: Any, click: Clicks
) -> None:
    sign_in_page(alice.user.email)
    click(page.get_by_role("button", name="Create key"))
    expect(page.get_by_role("heading", name="The key First key is ready")).to_be_visible()
    click(page.locator(".code-sample").get_by_role("button", name="Copy").first)
    expect(page.locator(".code-sample").get_by_role("button", name="Copied")).to_be_visible()
    code = page.evaluate("navigator.clipboard.readText()")
    assert page.get_by_label("API key", exact=True).input_value() in code
    key = ApiKey.objects.get()
    assert (key.name, key.scopes, key.created_by) == ("First key", ["inference"], alice)
    assert key.expires_at
    assert timedelta(days=89) < key.expires_at - datetime.now(UTC) < timedelta(days=91)
    assert click.count == documented("first API key, with code that has it")


def test_a_person_is_erased_after_the_page_that_names_them(
    alice: Member,
    dave: Member,
    page: Page,
    sign_in_page: Any,
    click: Clicks,
    menu: Callable[[str], Locator],
) -> None:
    sign_in_page(alice.user.email)
    click(menu("People"))
    row = page.get_by_role("row").filter(has_text=dave.user.email)
    click(row.get_by_role("button", name="Erase data"))
    expect(page.get_by_role("heading", name=f"Erase the data of {dave.user}?")).to_be_visible()
    assert not DeletionRequest.objects.exists()
    click(page.get_by_role("button", name="Erase", exact=True))
    expect(page.get_by_text("The request is executed at once")).to_be_visible()
    assert DeletionRequest.objects.get().subject_id == dave.subject_id
    assert click.count == documented("erase somebody's data")


@pytest.fixture
def no_job(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test makes the export itself."""
    settings.FOREBAY_HOME, settings.WITNESSES = tmp_path, []
    monkeypatch.setattr(export_file, "wake", lambda task: None)


def _downloaded(route: Route) -> None:
    """Answers in place of the server of this test, which cannot stream; names what was sent."""
    sent = str(route.request.post_data).rpartition("&")[2]
    headers = {"Content-Disposition": f'attachment; filename="{sent}.zip"'}
    route.fulfill(headers=headers, body="x")


def test_a_month_is_verified_and_taken_along(
    carol: Member,
    page: Page,
    sign_in_page: Any,
    click: Clicks,
    menu: Callable[[str], Locator],
    no_job: None,
) -> None:
    sign_in_page(carol.user.email)
    click(menu("Audit"))
    click(page.get_by_role("button", name=re.compile(r"^Verify \d{4}-\d\d$")))
    expect(page.get_by_text("Being made")).to_be_visible()
    trail_export.work(verified_export.verified)
    expect(page.get_by_text("All is as it was sealed")).to_be_visible(timeout=PATIENCE_MS)
    page.route("**/file/", _downloaded)
    with page.expect_download() as download:
        click(page.get_by_role("button", name="With the verifier"))
    assert "kit=on" in str(download.value.suggested_filename)
    assert Export.objects.get().asked["verified"]["ok"]
    assert click.count == documented("verify a month, and take it along")
