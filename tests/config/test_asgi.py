"""Answers beside the inference API: files, probes, and paths that do not exist."""

import gzip
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from config.http.static_files import static_files
from config.pages.handler import bounded
from inference.api import probes
from inference.engines.health import reachability
from infrastructure.postgres.resilient_connection import ResilientConnection
from tests.console.api.conftest import served

FILE = "/static/console/console.css"
HTML = "text/html,application/xhtml+xml"


@pytest.fixture
def client(transactional_db: None) -> Iterator[TestClient]:
    with TestClient(served, base_url="http://localhost") as client:
        yield client


@pytest.mark.unit
def test_browsers_must_not_guess_what_a_file_is() -> None:
    client = TestClient(static_files)
    found, missing = client.get(FILE), client.get("/static/none.css")
    assert (found.status_code, missing.status_code) == (200, 404)
    for answer in (found, missing):
        assert answer.headers["x-content-type-options"] == "nosniff"
    refused = client.post(FILE)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.unit
def test_a_browser_asks_each_time_whether_a_file_is_still_the_same() -> None:
    client = TestClient(static_files)
    found = client.get(FILE)
    known = {"If-None-Match": found.headers["etag"]}
    for answer in (found, same := client.get(FILE, headers=known)):
        assert answer.headers["cache-control"] == "no-cache"
    assert (same.status_code, same.content) == (304, b"")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer sk-fb-x"},
        {"api-key": "x"},
        {"x-api-key": "x"},
        {"Accept": "application/json"},
        {"Authorization": "Bearer x", "Accept": HTML},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_programs_are_told_in_json_that_nothing_is_there(
    client: TestClient, headers: dict[str, str], method: str
) -> None:
    answer = client.request(method, "/embeddings", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json()["error"]["code"] == "not_found"
    assert "/v1/" in answer.json()["error"]["message"]
    assert "set-cookie" not in answer.headers
    again = client.request(method, "/embeddings", headers=headers)
    assert UUID(answer.headers["x-request-id"]) != UUID(again.headers["x-request-id"])


def test_people_are_shown_a_page(client: TestClient) -> None:
    for headers in ({"Accept": HTML}, {"Accept": f"{HTML},application/json"}, {}):
        answer = client.get("/embeddings", headers=headers)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.unit
async def test_a_websocket_where_nothing_is_gets_403() -> None:
    from config.asgi import application

    said: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message["type"])

    own = sorted(settings.OWN_ORIGINS)[0].encode()
    scope = {"type": "websocket", "path": "/ws/none/", "query_string": b""}
    await application({**scope, "headers": [(b"origin", own)]}, receive, send)
    assert said == ["websocket.close"]


@pytest.mark.unit
async def test_probes_name_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fine(question: Any, *_more: object) -> str:
        if hasattr(question, "close"):
            question.close()
        return ""

    class RateLimiter:
        alone, outages = False, 0

    class Redis:
        call = fine

    class Open:
        limits, redis = SimpleNamespace(rate=RateLimiter()), Redis()

    monkeypatch.setattr(probes, "_last", None)
    monkeypatch.setattr(probes, "_obstacle", fine)
    engine = SimpleNamespace(config=SimpleNamespace(id="secret-r1"))
    monkeypatch.setattr(probes, "engines", lambda: [engine])
    monkeypatch.setattr(reachability, "_down", {"secret-r1": timezone.now()})
    for path in ("/readyz", "/health"):
        status, _, body = await asked(probes.probe, "GET", path, context=Open())
        assert status == 503
        assert b"secret" not in body
        assert b'"engines":false' in body
    status, headers, _ = await asked(probes.probe, "POST", "/livez")
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD")


class Standing:
    """What probes ask, with a database alone."""

    limits = SimpleNamespace(rate=SimpleNamespace(alone=False, outages=0))

    def __init__(self, *first: str) -> None:
        dsn = make_conninfo(settings.DATABASE_URL, dbname=connection.settings_dict["NAME"])
        self.database, self.redis = ResilientConnection(dsn, first=first), self

    async def call(self, *_words: str) -> None:
        pass


async def readiness(context: Standing) -> tuple[int, dict[str, str]]:
    probes._last = None
    status, _, body = await asked(probes.probe, "GET", "/readyz", context=context)
    await context.database.close()
    reasons = {name: why for name, why in json.loads(body)["reasons"].items() if name != "engines"}
    return status, reasons


async def test_a_database_that_takes_no_writes_is_not_ready(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.engines.health.reachability.all_down", lambda _engines: False)
    assert await readiness(Standing()) == (200, {})
    read_only = Standing("set default_transaction_read_only = on")
    assert await readiness(read_only) == (503, {"database": "is read-only"})


async def test_a_standby_alone_is_not_ready(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_given: Any, **_more: Any) -> None:
        raise psycopg.OperationalError("connection failed: server is in hot standby mode")

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", refuse)
    assert await readiness(Standing()) == (503, {"database": "is read-only"})


@pytest.mark.unit
@pytest.mark.parametrize(
    ("encoding", "sent", "status"),
    [
        (b"gzip", gzip.compress(b'{"a": 1}', mtime=0), 200),
        (b"gzip", gzip.compress(b"x" * 2_000_000, mtime=0), 413),
        (b"gzip", b"nonsense", 400),
        (b"br", b"x", 415),
    ],
)
async def test_packed_bodies_of_the_management_api(
    encoding: bytes, sent: bytes, status: int
) -> None:
    got: list[Any] = []

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        got.append((dict(scope["headers"]), await receive()))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await bounded(pages, scope, receive, send)

    headers = [(b"content-encoding", encoding), (b"content-length", b"%d" % len(sent))]
    found, _, _ = await asked(application, "POST", "/api/v1/me/", headers, sent)
    assert found == status
    if status == 200:
        assert got[0][0] == {b"content-length": b"8"}
        assert got[0][1]["body"] == b'{"a": 1}'


async def asked(
    application: Any,
    method: str,
    path: str,
    headers: list[tuple[bytes, bytes]] | None = None,
    body: bytes = b"",
    context: Any = None,
) -> tuple[int, dict[bytes, bytes], bytes]:
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b""}
    state = {"context": context}
    await application({**scope, "headers": headers or [], "state": state}, receive, send)
    return said[0]["status"], dict(said[0]["headers"]), b"".join(m["body"] for m in said[1:])
