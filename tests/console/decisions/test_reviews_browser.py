"""The review queue in a real Chromium: from the queue to a decision that two people made."""

import pytest
from playwright.sync_api import Page, expect

from inference.models import Decision
from tenants.models import Tenant
from tenants.roles import Role
from tests import chromium
from tests.console.conftest import join
from tests.inference.decisions.made import decided

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    chromium.needed,
    pytest.mark.slow(seconds=30),
]
QUEUE = "/console/t/acme/decisions/reviews/"


@pytest.fixture
def decision(acme: Tenant) -> Decision:
    for name in ("rita", "ralf"):
        join(acme, f"{name}@acme.example", Role.REVIEWER)
    return decided(acme, second_person={"input": "amount", "sum": 1000})


def test_two_people_decide_one_after_the_other(
    decision: Decision, page: Page, sign_in_page: object
) -> None:
    assert callable(sign_in_page)
    for email, reason in (
        ("rita@acme.example", "The card was stolen"),
        ("ralf@acme.example", "I agree"),
    ):
        page.context.clear_cookies()
        sign_in_page(email)
        page.goto(QUEUE)
        expect(page.get_by_text("1 decision waits for a person.")).to_be_visible()
        page.get_by_role("row").nth(1).get_by_role("link").click()
        expect(page.get_by_text("Watches")).to_have_count(0)
        page.get_by_role("button", name="Claim").click()
        expect(page.get_by_role("cell", name="Watches")).to_be_visible()
        expect(page.get_by_text("The card was stolen")).to_have_count(0)
        page.get_by_label("Block").check()
        page.get_by_label("Reason").fill(reason)
        page.get_by_role("button", name="Decide").click()
        expect(page.get_by_role("heading", name="Reviews")).to_be_visible()
    expect(page.get_by_text("Nothing waits for a person")).to_be_visible()
    decision.refresh_from_db()
    assert decision.final == "block"


@pytest.mark.parametrize("path", [QUEUE, "/console/t/acme/decisions/contests/"])
def test_a_phone_shows_all_of_it(
    decision: Decision, page: Page, sign_in_page: object, path: str
) -> None:
    assert callable(sign_in_page)
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in_page("rita@acme.example")
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
