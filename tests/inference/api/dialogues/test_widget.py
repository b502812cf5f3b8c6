"""Widget keys, and the visitors who get tokens with them: what opens, and what does not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.core import signing
from pytest_django.fixtures import Settings
from redis import Redis

from inference.api.dialogues import origins, visitors
from inference.api.http.cors import KnownOrigins
from inference.models import Dialogue, WidgetKey
from tenants.models import Person, Tenant
from tests.inference.api.conftest import client_of, in_database
from tests.inference.api.dialogues.conftest import Helpdesk
from tests.inference.web import served

pytestmark = pytest.mark.django_db(transaction=True)
SHOP, OTHER = "https://shop.example", "https://other.example"


@dataclass
class Site:
    """A page of the shop with a widget."""

    desk: Helpdesk
    key: WidgetKey
    page: httpx.AsyncClient

    async def session(self, token: str | None = None, **headers: str) -> httpx.Response:
        body = {"key": self.key.text, "token": token}
        return await self.page.post("/v1/widget/sessions", json=body, headers=headers)

    async def visit(self) -> str:
        """Become a visitor. Returns the token, which the page sends from now on."""
        answer = await self.session()
        assert answer.status_code == 200, answer.text
        token = str(answer.json()["token"])
        self.page.headers["authorization"] = f"Bearer {token}"
        return token

    async def begin(self) -> str:
        answer = await self.page.post("/v1/dialogues", json={})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])


@pytest.fixture
async def site(desk: Helpdesk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(origins, "_of_widgets", KnownOrigins(origins._widgets_origins))
    assistant = await in_database(desk.tenant.assistants.get)()
    create = in_database(WidgetKey.create)
    key = await create(desk.tenant, "shop", assistant.pk, desk.key, [SHOP], by="test")
    transport = httpx.ASGITransport(served, client=("198.51.100.9", 5000))
    headers = {"origin": SHOP}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://forebay", headers=headers, timeout=60
    ) as page:
        yield Site(desk, key, page)


async def test_a_visitor_talks_with_the_keys_assistant(site: Site) -> None:
    await site.visit()
    dialogue = await site.begin()
    path = f"/v1/dialogues/{dialogue}/messages"
    turn = await site.page.post(path, json={"text": "When are you open?", "id": str(uuid4())})
    assert turn.json()["answer"]["text"] == "9 to 5."
    assert turn.headers["access-control-allow-origin"] == SHOP
    assert "set-cookie" not in turn.headers
    row = await in_database(Dialogue.objects.get)()
    assert (row.channel, row.widget_key_id) == ("widget", site.key.pk)
    closed = await site.page.post(f"/v1/dialogues/{dialogue}/close", json={"satisfaction": 4})
    assert closed.json()["satisfaction"] == 4


async def test_a_browser_asks_first(site: Site) -> None:
    for path in ("/v1/widget/sessions", "/v1/dialogues"):
        headers = {
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type",
        }
        answer = await site.page.options(path, headers=headers)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "authorization" in answer.headers["access-control-allow-headers"]
    refused = await site.page.options("/v1/dialogues", headers={**headers, "origin": OTHER})
    assert refused.status_code == 403


async def test_pages_of_other_origins_and_programs_without_one_get_no_token(site: Site) -> None:
    for origin in (OTHER, "null", "http://shop.example", ""):
        answer = await site.session(origin=origin)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")


async def test_a_token_opens_nothing_else(site: Site) -> None:
    await site.visit()
    for method, path in (
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/files"),
    ):
        answer = await site.page.request(method, path)
        assert answer.status_code == 401, path
    own = await site.desk.begin()
    assert (await site.page.get(f"/v1/dialogues/{own['id']}")).status_code == 404
    response = await site.page.post("/v1/dialogues", json={"assistant": "shop", "person": "x"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unknown_field")


async def test_visitors_do_not_see_each_other(site: Site) -> None:
    first = await site.visit()
    dialogue = await site.begin()
    await site.visit()
    for path in ("", "/messages"):
        assert (await site.page.get(f"/v1/dialogues/{dialogue}{path}")).status_code == 404
    site.page.headers["authorization"] = f"Bearer {first}"
    assert (await site.page.get(f"/v1/dialogues/{dialogue}")).status_code == 200
    assert await in_database(Person.objects.count)() == 1  # the second has begun none


async def test_a_token_of_another_origin_or_a_changed_one_is_refused(site: Site) -> None:
    token = await site.visit()
    dialogue = await site.begin()
    path = f"/v1/dialogues/{dialogue}"
    assert (await site.page.get(path, headers={"origin": OTHER})).status_code == 403
    assert (await site.page.get(path, headers={"origin": ""})).status_code == 403
    for wrong in (token[:-2] + "xx", "vt-fb-", "vt-fb-a:b:c"):
        answer = await site.page.get(path, headers={"authorization": f"Bearer {wrong}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            401,
            "visitor_token_expired",
        )


async def test_an_old_token_is_renewed_for_the_same_visitor(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await site.visit()
    dialogue = await site.begin()
    monkeypatch.setattr(visitors, "LIVES_S", -1)
    expired = await site.page.get(f"/v1/dialogues/{dialogue}")
    assert expired.json()["error"]["code"] == "visitor_token_expired"
    renewed = (await site.session(token)).json()["token"]
    monkeypatch.undo()
    same = {"authorization": f"Bearer {renewed}"}
    assert (await site.page.get(f"/v1/dialogues/{dialogue}", headers=same)).status_code == 200


async def test_a_token_of_one_key_renews_nobody_at_another(site: Site) -> None:
    foreign = {"k": uuid4().hex, "v": UUID(int=7).hex, "o": SHOP}
    token = visitors.PREFIX + signing.dumps(foreign, salt="forebay.widget")
    renewed = (await site.session(token)).json()["token"]
    content: Any = signing.loads(renewed.removeprefix(visitors.PREFIX), salt="forebay.widget")
    assert content["v"] != UUID(int=7).hex


async def test_a_revoked_key_ends_all_its_widgets(site: Site) -> None:
    await site.visit()
    dialogue = await site.begin()
    await in_database(site.key.revoke)(by="test")
    answer = await site.page.get(f"/v1/dialogues/{dialogue}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_widget_key")
    assert (await site.session()).status_code == 401


async def test_without_its_api_key_it_opens_nothing(site: Site) -> None:
    await site.visit()
    await in_database(site.desk.key.revoke)(by="test")
    answer = await site.page.post("/v1/dialogues", json={})
    assert answer.status_code == 401


async def test_a_rotation_of_its_api_key_takes_the_widget_along(site: Site) -> None:
    await site.visit()
    dialogue = await site.begin()
    await site.desk.rotate()
    path = f"/v1/dialogues/{dialogue}/messages"
    turn = await site.page.post(path, json={"text": "When are you open?", "id": str(uuid4())})
    assert turn.json()["answer"]["text"] == "9 to 5."
    assert (await site.session()).status_code == 200


async def test_an_address_has_a_limit_of_its_own(site: Site, settings: Settings) -> None:
    settings.WIDGET_PER_MINUTE = 3
    statuses = [(await site.session()).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


async def test_ends_and_opinions_count_at_the_limit_of_an_address(
    site: Site, settings: Settings
) -> None:
    """Each is on the trail: without a limit anybody could fill it."""
    await site.visit()
    path = f"/v1/dialogues/{await site.begin()}/close"
    settings.WIDGET_PER_MINUTE = 5
    opinions = [{"satisfaction": 1 + n % 5} for n in range(6)]
    statuses = [(await site.page.post(path, json=body)).status_code for body in opinions]
    assert statuses == [200, 200, 200, 429, 429, 429]
    row = await in_database(Dialogue.objects.get)()
    assert (row.status, row.satisfaction) == ("closed", 3)


@pytest.mark.parametrize("path", ["", "/messages"])
async def test_reads_have_a_limit_of_their_own(site: Site, settings: Settings, path: str) -> None:
    await site.visit()
    dialogue = await site.begin()
    settings.WIDGET_PER_MINUTE = 3
    read = f"/v1/dialogues/{dialogue}{path}"
    statuses = [(await site.page.get(read)).status_code for _ in range(32)]
    assert statuses == [200] * 30 + [429] * 2
    assert (await site.session()).status_code == 200, "reads take nothing from what is sent"


async def test_an_api_key_in_a_page_is_refused(site: Site) -> None:
    """The origin of a widget is none of its tenant's own list."""
    async with await client_of(site.desk.tenant) as program:
        answer = await program.post("/v1/dialogues", json={}, headers={"origin": SHOP})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")


async def test_another_tenants_page_is_no_page_of_this_key(site: Site, globex: Tenant) -> None:
    await in_database(globex.change)(by="test", allowed_origins=[OTHER])
    answer = await site.session(origin=OTHER)
    assert answer.status_code == 403


@pytest.mark.parametrize("body", [{}, {"key": "sk-fb-x"}, {"key": "pk-fb-" + "x" * 24}])
async def test_a_wrong_key_gets_no_token(site: Site, body: dict[str, str]) -> None:
    answer = await site.page.post("/v1/widget/sessions", json=body)
    assert answer.status_code in (400, 401)


@pytest.fixture(autouse=True)
def fresh_limits(valkey: Redis) -> None:
    for key in valkey.scan_iter("*widget:*"):
        valkey.delete(key)
