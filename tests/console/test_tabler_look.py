"""Pages look with the part of Tabler that is served as they do with all of it."""

import re

import pytest
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from deploy.tabler.trim import SOURCE
from tenants.models import Member, User
from tests import chromium
from tests.console.conftest import SignIn
from tests.console.furnished import IN_PLATFORM, furnish

pytestmark = [
    pytest.mark.browser,
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.django_db(transaction=True),
    chromium.needed,
]
# Sizes of boxes vary with the texts of passing time, so that colours and spaces are compared.
LOOKS = """() => [...document.querySelectorAll('body *')].map((one) => {
  const style = getComputedStyle(one);
  const names = ['color', 'backgroundColor', 'display', 'fontSize', 'borderTopColor', 'padding'];
  return [one.tagName, ...names.map((name) => style[name])].join();
})"""


def looks(page: Page, addresses: list[str]) -> dict[str, list[str]]:
    found = {}
    for address in addresses:
        page.goto(address, wait_until="load")
        found[address] = page.evaluate(LOOKS)
    return found


@pytest.mark.slow(seconds=120)
def test_the_part_looks_like_the_whole(
    alice: Member, browser: Browser, live_server: LiveServer, sign_in: SignIn
) -> None:
    User.objects.filter(pk=alice.user.pk).update(is_operator=True)
    addresses = [*furnish(alice), *IN_PLATFORM, "/account/", "/chat/"]
    session = sign_in(alice).cookies["forebay_session"].value
    context = browser.new_context(base_url=live_server.url, reduced_motion="reduce")
    cookie = {"name": "forebay_session", "value": session, "url": live_server.url}
    context.add_cookies([cookie])  # type: ignore[list-item]
    page, whole = context.new_page(), SOURCE.read_text()
    part = looks(page, addresses)
    page.route(
        re.compile(r"/tabler\.\w+\.css$"),
        lambda route: route.fulfill(body=whole, content_type="text/css"),
    )
    page.goto("about:blank")
    of_whole = looks(page, addresses)
    context.close()
    assert [each for each in addresses if part[each] != of_whole[each]] == []
