"""The inference API as HTTP: its paths, what every answer carries, what clients of others send."""

import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.api import served_models
from inference.api.openai import routes
from inference.intake.context import Context
from tenants.models import ApiKey, Tenant
from tenants.rate_limits.admission import SharedAdmission
from tests.inference.web import served, serving

in_database = database_sync_to_async
ASK = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def context(
    settings: Settings, dsn: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Context]:
    settings.ENGINES = {pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 50
    engines.forget()
    monkeypatch.setattr(served_models, "_known", [])
    async with serving() as opened:
        yield opened
    engines.forget()


@pytest.fixture
async def key(acme: Tenant) -> str:
    limits = {"requests_per_minute": 600, "burst": 600, "tokens_per_minute": 100_000}
    await in_database(Tenant.objects.filter(pk=acme.pk).update)(**limits)
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    return text


@pytest.fixture
def client(context: Context) -> httpx.AsyncClient:
    """Of an address that nobody has come from yet."""
    n = uuid4().int
    address = f"198.{18 + n % 2}.{n // 2 % 256}.{n // 512 % 256}"
    transport = httpx.ASGITransport(served, client=(address, 5000))
    return httpx.AsyncClient(transport=transport, base_url="http://forebay")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_where_others_have_it(client: httpx.AsyncClient, key: str, pool: str) -> None:
    """DeepSeek's base URL without /v1, and its /beta."""
    for path in ("/v1/models", "/models", "/models/", "/beta/models"):
        answer = await client.get(path, headers=bearer(key))
        assert [found["id"] for found in answer.json()["data"]] == [pool]
    for path in (f"/v1/models/{pool}", f"/models/{pool}", f"/beta/models/{pool}/"):
        assert (await client.get(path, headers=bearer(key))).json()["id"] == pool
    for path in ("/chat/completions", "/completions", "/beta/completions", "/v1/completions/"):
        answer = await client.post(path, headers=bearer(key), json={})
        assert answer.json()["error"]["param"] == "model"
    assert (await client.get("/user/balance", headers=bearer(key))).status_code == 200


async def test_where_azures_clients_ask(client: httpx.AsyncClient, key: str, pool: str) -> None:
    version = {"api-version": "2024-10-21"}
    for front in ("/openai", "/openai/v1"):
        answer = await client.get(f"{front}/models", headers={"api-key": key}, params=version)
        assert [found["id"] for found in answer.json()["data"]] == [pool]
        answer = await client.get(f"{front}/models/{pool}", headers={"api-key": key})
        assert answer.json()["id"] == pool
        for path in ("/chat/completions", "/completions"):
            answer = await client.post(f"{front}{path}", headers={"api-key": key}, json={})
            assert answer.json()["error"]["param"] == "model"
        found = await client.get(f"{front}/files/file-{uuid4().hex}", headers={"api-key": key})
        assert found.json()["error"]["code"] == "file_not_found"
    for name, path, param in (
        (pool, "chat/completions", "messages"),
        (pool, "completions/", "prompt"),
        ("no/such", "chat/completions", "model"),
    ):
        where = f"/openai/deployments/{name}/{path}"
        answer = await client.post(where, headers={"api-key": key}, json={"model": "other"})
        assert answer.json()["error"]["param"] == param
    for path in ("deployments", f"deployments/{pool}", "deployments//chat/completions", "x"):
        answer = await client.post(f"/openai/{path}", headers={"api-key": key}, json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/v1", True),
        ("/openai", True),
        ("/openai/deployments/m/chat/completions", True),
        ("/openaix", False),
        ("/beta", True),
        ("/v1/nothing", True),
        ("/models/a/b", True),
        ("/chat/completions", True),
        ("/chat/", False),
        ("/chat/c/1/", False),
        ("/", False),
        ("/inference", False),
        ("/v1x", False),
        ("/modelsx", False),
    ],
)
def test_which_paths_are_the_apis(path: str, ours: bool) -> None:
    assert routes.owns(path) is ours


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
async def test_a_key_where_others_send_it(client: httpx.AsyncClient, key: str, header: str) -> None:
    assert (await client.get("/v1/models", headers={header: key})).status_code == 200
    wrong = await client.get("/v1/models", headers={header: key[:-1]})
    assert wrong.status_code == 401
    beside_an_empty_one = {"authorization": "Bearer ", header: key}
    assert (await client.get("/v1/models", headers=beside_an_empty_one)).status_code == 200


async def test_every_answer_has_a_request_id_and_the_callers_limits(
    client: httpx.AsyncClient, key: str, context: Context
) -> None:
    asked: list[tuple[str, str, Any, int]] = [
        ("GET", "/v1/models", None, 200),
        ("HEAD", "/v1/models", None, 200),
        ("GET", "/v1/models/none", None, 404),
        ("GET", "/v1/user/balance", None, 200),
        ("GET", f"/v1/completions/{uuid4()}/events", None, 404),
        ("POST", "/v1/chat/completions", {}, 400),
        ("POST", "/v1/chat/completions", {"model": "none", **ASK}, 404),
        ("POST", "/v1/completions", {"model": 5}, 400),
    ]
    seen = set()
    for method, path, body, status in asked:
        answer = await client.request(method, path, json=body, headers=bearer(key))
        assert answer.status_code == status, path
        seen.add(UUID(answer.headers["x-request-id"]))
        assert answer.headers["x-ratelimit-limit-requests"] == "50", path  # the tightest: address
        assert answer.headers["x-ratelimit-limit-tokens"] == "100000", path
        assert answer.headers["x-ratelimit-scope"] == "ip"
    assert len(seen) == len(asked)
    for method, path, headers, status in [
        ("GET", "/v1/models", {}, 401),
        ("GET", "/v1/nothing", bearer(key), 404),
        ("DELETE", "/v1/models", bearer(key), 405),
        ("OPTIONS", "/v1/models", {}, 204),
    ]:
        answer = await client.request(method, path, headers=headers)
        assert answer.status_code == status
        UUID(answer.headers["x-request-id"])


async def test_looking_at_the_limits_takes_nothing_from_them(
    client: httpx.AsyncClient, key: str, settings: Settings
) -> None:
    settings.ADDRESS_PER_MINUTE = 0
    left = [await client.get("/v1/models", headers=bearer(key)) for _ in range(5)]
    assert {answer.headers["x-ratelimit-remaining-requests"] for answer in left} == {"600"}


async def test_a_tenant_without_requests_left_still_reads(
    client: httpx.AsyncClient, key: str, acme: Tenant, settings: Settings
) -> None:
    settings.ADDRESS_PER_MINUTE = 0
    await in_database(Tenant.objects.filter(pk=acme.pk).update)(requests_per_minute=1, burst=1)
    body = {"model": "none"}
    for status in (404, 429, 429):
        answer = await client.get("/v1/models", headers=bearer(key))
        assert answer.status_code == 200
        answer = await client.post("/v1/chat/completions", headers=bearer(key), json=body)
        assert answer.status_code == status
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"


async def test_the_list_of_models_asks_redis_once(
    client: httpx.AsyncClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, admit = list[Any](), SharedAdmission.admit

    async def counted(self: SharedAdmission, *args: Any) -> Any:
        asked.append(args)
        return await admit(self, *args)

    monkeypatch.setattr(SharedAdmission, "admit", counted)
    await client.get("/v1/models", headers=bearer(key))  # the key is new here
    asked.clear()
    await client.get("/v1/models", headers=bearer(key))
    assert len(asked) == 1


async def test_a_wrong_method_names_the_right_ones(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.get("/v1/chat/completions", headers=bearer(key))
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")
    answer = await client.post("/v1/models", headers=bearer(key))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert answer.json()["error"]["code"] == "method_not_allowed"


async def test_created_stays_the_same(
    client: httpx.AsyncClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (await client.get("/v1/models", headers=bearer(key))).json()["data"][0]["created"]
    monkeypatch.setattr(served_models, "_known", [])  # as after a restart
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    again = (await client.get("/v1/models", headers=bearer(key))).json()["data"][0]["created"]
    assert again == first < 2_000_000_000


async def test_created_as_the_operator_says(
    client: httpx.AsyncClient, key: str, pool: str, settings: Settings
) -> None:
    settings.ENGINES = {pool: {**settings.ENGINES[pool], "created": 1_720_000_000}}
    engines.forget()
    answer = await client.get(f"/v1/models/{pool}", headers=bearer(key))
    assert answer.json()["created"] == 1_720_000_000


async def test_what_was_sent_is_not_told_back_at_any_length(
    client: httpx.AsyncClient, key: str, pool: str
) -> None:
    body = {"model": "m" * 60_000, **ASK}
    answer = await client.post("/v1/chat/completions", headers=bearer(key), json=body)
    assert answer.status_code == 404
    assert "m" * 100 in answer.text
    assert len(answer.content) < 500
    body = {"model": pool, "x" * 60_000: "1", **ASK}
    answer = await client.post("/v1/chat/completions", headers=bearer(key), json=body)
    assert answer.status_code == 400
    assert len(answer.content) < 5000
    answer = await client.get("/v1/" + "y" * 60_000, headers=bearer(key))
    assert len(answer.content) < 500


# Compressed bodies -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b'{"model": "none"}', mtime=0)),
        ("GZIP", gzip.compress(b'{"model": "none"}', mtime=0)),
        ("deflate", zlib.compress(b'{"model": "none"}')),
        ("identity", b'{"model": "none"}'),
    ],
)
async def test_a_packed_body_is_read(
    client: httpx.AsyncClient, key: str, encoding: str, packed: bytes
) -> None:
    headers = {**bearer(key), "content-encoding": encoding}
    answer = await client.post("/v1/chat/completions", headers=headers, content=packed)
    assert answer.json()["error"]["code"] == "model_not_found"


async def test_a_packed_body_is_as_large_as_it_is_unpacked(
    client: httpx.AsyncClient, key: str, settings: Settings
) -> None:
    settings.MAX_BODY_BYTES = 1000
    headers = {**bearer(key), "content-encoding": "gzip"}
    for size, status in ((1000, 400), (1001, 413), (50_000_000, 413)):
        packed = gzip.compress(b" " * size, mtime=0)
        settings.MAX_BODY_BYTES = 1000 if size < 10_000 else 1_000_000
        answer = await client.post("/v1/completions", headers=headers, content=packed)
        assert answer.status_code == status, size


@pytest.mark.parametrize(
    ("encoding", "sent", "status"),
    [
        ("br", b"{}", 415),
        ("zstd", b"{}", 415),
        ("gzip, gzip", b"{}", 415),
        ("gzip", b"{}", 400),
        ("gzip", gzip.compress(b'{"model": "none"}', mtime=0)[:-6], 400),
        ("gzip", gzip.compress(b"{}", mtime=0) * 2, 400),
    ],
)
async def test_what_cannot_be_unpacked(
    client: httpx.AsyncClient, key: str, encoding: str, sent: bytes, status: int
) -> None:
    headers = {**bearer(key), "content-encoding": encoding}
    answer = await client.post("/v1/completions", headers=headers, content=sent)
    assert answer.status_code == status
    assert "Content-Encoding" in answer.json()["error"]["message"]
    if status == 415:
        assert answer.headers["accept-encoding"] == "gzip, deflate"


# On record ---------------------------------------------------------------------------------------
async def test_random_paths_make_no_kinds_of_their_own(
    client: httpx.AsyncClient, key: str, context: Context, settings: Settings
) -> None:
    """Without a key, over the limit or not: one row for each route, however many the paths."""
    settings.ADDRESS_PER_MINUTE = 3
    for n in range(30):
        await client.get(f"/v1/models/{uuid4()}")
        await client.get(f"/beta/models/{n}")
        await client.get(f"/v1/completions/{uuid4()}/events")
    await context.refusals.flush()
    events = await in_database(lambda: list(Event.objects.filter(actor="unknown")))()
    kinds = {(event.action, event.route) for event in events}
    assert kinds == {
        ("access:denied", "/v1/models/{model}"),
        ("request:refused", "/v1/models/{model}"),
        ("request:refused", "/v1/completions/{id}/events"),
    }
    assert len(events) <= 2 * len(kinds)  # the minute may have ended meanwhile
