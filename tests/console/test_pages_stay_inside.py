"""No page loads anything from elsewhere, and none needs more than script-src and style-src self."""

import re

import pytest
from django.test import Client

from deploy.tabler.trim import SOURCE, TARGET
from tenants.models import Member, User
from tests.console.conftest import SignIn
from tests.console.furnished import IN_PLATFORM, furnish
from tests.console.page_sources import INLINE, LOADS, STATIC, is_file


@pytest.fixture(scope="module")
def visited() -> list[str]:
    """Pages as the first test that looks at them has seen them."""
    return []


@pytest.fixture
def pages(request: pytest.FixtureRequest, visited: list[str]) -> list[str]:
    if not visited:
        people = (request.getfixturevalue(name) for name in ("alice", "operator", "sign_in"))
        visited.extend(_visit(*people))
    return visited


def _visit(alice: Member, operator: User, sign_in: SignIn) -> list[str]:
    parts = ["/console/t/acme/live/", "/console/t/acme/shares/", "/account/"]
    client, operators = sign_in(alice), sign_in(operator)
    inside = [client.get(url) for url in (*furnish(alice), *parts)]
    platform = [operators.get(url) for url in (*IN_PLATFORM, "/console/t/acme/settings/")]
    assert {page.status_code for page in inside + platform} == {200}
    outside = [Client().get(url) for url in ("/login/", "/welcome/x/", "/nope/")]
    return [page.content.decode() for page in inside + platform + outside]


def test_everything_is_loaded_from_here(pages: list[str]) -> None:
    for page in pages:
        for target in LOADS.findall(page):
            assert re.match("/(?!/)", target), target


def test_no_inline_script_or_style(pages: list[str]) -> None:
    for page in pages:
        assert not INLINE.search(page), INLINE.search(page)


def test_whatever_a_page_names_exists(pages: list[str]) -> None:
    named = {t.partition("#")[0] for page in pages for t in LOADS.findall(page)}
    for target in named:
        if target.startswith("/static/"):
            assert is_file(target), target


def test_every_icon_is_in_the_sprite(pages: list[str]) -> None:
    sprite = (STATIC / "console" / "icons.svg").read_text()
    used = {name for page in pages for name in re.findall(r"icons\.\w+\.svg#([\w-]+)", page)}
    assert used
    for name in used:
        assert f'id="{name}"' in sprite


def test_the_policy_is_strict(client: Client, db: None) -> None:
    policy = client.get("/login/")["Content-Security-Policy"]
    assert "script-src 'self';" in policy + ";"
    assert "style-src 'self';" in policy + ";"
    assert "unsafe" not in policy


@pytest.mark.unit
def test_vendored_parts_have_their_licences() -> None:
    for folder in ("htmx-2.0.11", "tabler-1.6.1", "uplot-1.6.32"):
        assert (STATIC / "vendor" / folder / "LICENSE").is_file()


def test_the_trimmed_tabler_has_every_class_of_a_page_that_the_whole_has(pages: list[str]) -> None:
    whole, served = (
        set(re.findall(r"\.((?:\\.|[\w-])+)", path.read_text())) for path in (SOURCE, TARGET)
    )
    lists = [names for page in pages for names in re.findall(r'class="([^"]*)"', page)]
    used = {name for names in lists for name in names.split()}
    assert used & served
    assert not (used & whole) - served
