"""The usage page in a real Chromium: charts are drawn, filters and files work."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from inference.usage import rollup
from tenants.models import Member
from tests import chromium
from tests.inference.usages import used

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    chromium.needed,
]
PAGE = "/console/t/acme/usage/"


def test_charts_follow_the_filter(alice: Member, page: Page, sign_in_page: Any) -> None:
    for days in (0, 1, 40):
        used(alice.tenant, timezone.now() - timedelta(days=days), model=f"m{days}")
    rollup.roll_up()
    sign_in_page("alice@acme.example")
    page.goto(PAGE)
    requests = page.locator(".figure-value").first
    expect(requests).to_have_text("2")
    expect(page.locator(".chart canvas")).to_have_count(4)
    expect(page.get_by_label("From")).to_be_hidden()

    page.get_by_label("Time").select_option("custom")
    expect(page.get_by_label("From")).to_be_visible()
    page.get_by_label("From").fill(f"{timezone.now() - timedelta(days=50):%Y-%m-%d}")
    expect(requests).to_have_text("3")
    assert "range=custom" in page.url
    expect(page.locator(".chart canvas")).to_have_count(4)
    expect(page.get_by_role("link", name="m40")).to_be_visible()

    page.get_by_text("The charts as a table").click()
    expect(page.locator("details tbody tr")).to_have_count(51)


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")  # the test server is WSGI
def test_a_file_can_be_had(
    alice: Member,
    page: Page,
    sign_in_page: Any,
    tmp_path: Path,
) -> None:
    used(alice.tenant, timezone.now())
    rollup.roll_up()
    sign_in_page("alice@acme.example")
    page.goto(PAGE)
    with page.expect_download() as arriving:
        page.get_by_role("link", name="CSV").click()
    arriving.value.save_as(tmp_path / "usage.csv")
    assert arriving.value.suggested_filename.startswith("usage-acme-")
    head, row = (tmp_path / "usage.csv").read_text("utf-8-sig").splitlines()
    assert head.startswith("begins,model,requests,")
    assert ",smollm2,1,12,5,34,0.000007," in row
