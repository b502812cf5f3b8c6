"""The command palette offers what its reader may see, and finds nothing of others."""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from inference.models import Engine, Model, Pool
from tenants.models import ApiKey, Member, Team, User
from tenants.roles import Role
from tests import chromium
from tests.console.asked import completion
from tests.console.conftest import SignIn, join

SEARCH, ALL = "/console/t/acme/search/", "/console/search/"


def found(client: Client, text: str, path: str = SEARCH) -> list[tuple[str, str]]:
    """Returns kind and label of what a search finds."""
    answer = client.get(path, {"q": text})
    assert answer.status_code == 200, answer.content
    return [(row["kind"], row["label"]) for row in answer.json()["results"]]


@pytest.fixture
def rows(alice: Member, bob: Member, charlie: Member) -> dict[str, Any]:
    """The same names in two tenants."""
    made: dict[str, Any] = {}
    for member in (alice, charlie):
        tenant = member.tenant
        ApiKey.issue(tenant, "ledger build", by="test")
        Team.form(tenant, "ledger team", by="test")
        join(tenant, f"ledger@{tenant.name}.example", Role.MEMBER)
        made[tenant.name] = completion(tenant)
    return made


def test_rows_of_the_own_tenant_are_found(
    rows: dict[str, Any], alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(alice)
    assert found(client, "LEDGER") == [
        ("Person", "Ledger"),
        ("API key", "ledger build"),
        ("Team", "ledger team"),
    ]
    assert found(client, str(rows["acme"].pk)) == [("Request", str(rows["acme"].pk))]
    links = client.get(SEARCH, {"q": "ledger"}).json()["results"]
    assert all(client.get(row["url"]).status_code == 200 for row in links)


def test_nothing_of_another_tenant_is_found_and_its_rows_cost_nothing(
    rows: dict[str, Any], alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(alice)
    client.get(SEARCH, {"q": "warm"})
    for theirs, nobodys in (("globex", "nowhere"), (str(rows["globex"].pk), str(uuid4()))):
        queries = []
        for text in (theirs, nobodys):
            with CaptureQueriesContext(connection) as captured:
                assert found(client, text) == []
            queries.append(len(captured))
        assert queries[0] == queries[1]


def test_a_kind_that_the_role_does_not_see_is_not_asked_for(
    rows: dict[str, Any], alice: Member, operator: User, sign_in: SignIn
) -> None:
    reviewer = join(alice.tenant, "rita@acme.example", Role.REVIEWER)
    client = sign_in(reviewer)
    assert client.get(SEARCH, {"q": "ledger"}).status_code == 403
    assert 'data-search=""' in client.get("/console/t/acme/decisions/reviews/").content.decode()
    assert sign_in(alice).get(ALL, {"q": "acme"}).status_code == 403


@pytest.mark.parametrize("text", ["", "l", " ", "\0", "%%", "__"])
def test_short_searches_and_wildcards_list_nobody(
    rows: dict[str, Any], alice: Member, sign_in: SignIn, text: str
) -> None:
    assert found(sign_in(alice), text) == []


def test_a_search_answers_with_a_few_of_each_kind(alice: Member, sign_in: SignIn) -> None:
    for number in range(8):
        Team.form(alice.tenant, f"squad {number}", by="test")
    assert len(found(sign_in(alice), "squad")) == 6
    Team.form(alice.tenant, "搜索", by="test")
    assert found(sign_in(alice), "搜") == [("Team", "搜索")]


def test_operators_find_tenants_models_pools_engines_and_requests(
    rows: dict[str, Any], operator: User, sign_in: SignIn
) -> None:
    pool = Pool.add(Model.add("large", by="test"), "here", by="test")
    Engine.add(pool, "gpu-1", by="test", kind="vllm", url="http://gpu-1:8000/v1")
    client = sign_in(operator)
    assert found(client, "acme", ALL) == [("Tenant", "acme")]
    assert found(client, "here", ALL) == [("Pool", "here")]
    assert found(client, "gpu", ALL) == [("Engine", "gpu-1")]
    pk = str(rows["globex"].pk)
    assert found(client, pk, ALL) == [("Request", pk)]


@pytest.mark.parametrize(
    ("who", "there", "not_there"),
    [
        ("alice", ["New API key", "Invite a person", "People › Teams"], ["Add a model"]),
        ("bob", ["New API key"], ["Invite a person", "Audit › Retention", "New team"]),
        ("carol", ["Audit › Retention"], ["New API key", "Invite a person"]),
    ],
)
def test_pages_and_acts_are_those_of_the_role(
    who: str, there: list[str], not_there: list[str], request: Any, sign_in: SignIn
) -> None:
    page = sign_in(request.getfixturevalue(who)).get("/console/t/acme/").content.decode()
    entries = re.search(r'<dialog id="palette".*?</dialog>', page, re.DOTALL)
    assert entries
    assert all(label in entries[0] for label in there)
    assert not any(label in entries[0] for label in not_there)


def test_an_operators_acts_are_those_of_the_platform(operator: User, sign_in: SignIn) -> None:
    page = sign_in(operator).get("/console/").content.decode()
    assert "Add a model" in page
    assert "New tenant" in page


@pytest.mark.browser
@pytest.mark.timeout(120)
@pytest.mark.django_db(transaction=True)
@chromium.needed
def test_it_is_used_with_the_keyboard_alone_in_both_languages(
    page: Page, live_server: LiveServer, alice: Member, sign_in_page: Callable[[str], None]
) -> None:
    key, _text = ApiKey.issue(alice.tenant, "ledger build", by="test")
    sign_in_page("alice@acme.example")
    page.keyboard.press("Control+k")
    box, options = page.locator("#palette input"), page.locator("#palette [role=option]")
    expect(box).to_be_focused()
    box.fill("ledger")
    expect(options).to_have_count(1)
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/keys/{key.pk}/")
    page.context.add_cookies(
        [{"name": "django_language", "value": "zh-hans", "url": live_server.url}]
    )
    page.reload()
    page.keyboard.press("Meta+k")
    box.fill("密钥")
    expect(options.filter(has_text="新建 API 密钥")).to_have_count(1)
    first = box.get_attribute("aria-activedescendant")
    page.keyboard.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") != first
    page.keyboard.press("Escape")
    expect(box).not_to_be_visible()
