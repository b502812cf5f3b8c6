"""What a client asks before it chats: is something here, which models are there, what can they."""

from datetime import datetime
from typing import Any

import httpx
import pytest
from pytest_django.fixtures import Settings

from config.http.front_ends import router_of
from inference import engines
from inference.api.ollama import models
from inference.api.ollama.routes import router
from inference.engines.health import reachability
from tests.inference.engine_server import EngineServer

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"


def scope_of(path: str, agent: str = "") -> dict[str, Any]:
    headers = [(b"user-agent", agent.encode())] if agent else []
    return {"path": path, "headers": headers}


@pytest.mark.unit
@pytest.mark.parametrize(
    "agent",
    ["ollama/0.33.0 (amd64 linux) Go/go1.26", "ollama-python/0.6.3 (x86_64)", "ollama-js/1"],
)
def test_the_root_answers_ollamas_own_clients(agent: str) -> None:
    assert router_of(scope_of("/", agent)) is router


@pytest.mark.unit
@pytest.mark.parametrize(
    ("path", "agent"),
    [
        ("/", BROWSER),
        ("/", ""),
        ("/", "curl/8.5.0"),
        ("/", "my ollama/1"),
        ("//", "ollama/1"),
        ("/api/v1/tenants/", "ollama/1"),
        ("/api/v1/schema/", ""),
        ("/api/nothing", ""),
        ("/console/", "ollama/1"),
        ("/ollamas", ""),
    ],
)
def test_pages_and_the_management_api_stay_where_they_are(path: str, agent: str) -> None:
    assert router_of(scope_of(path, agent)) is None


async def test_something_is_here(client: httpx.AsyncClient) -> None:
    del client.headers["authorization"]
    for path in ("/ollama", "/ollama/", "/"):
        for method in ("GET", "HEAD"):
            agent = {"user-agent": "ollama-python/0.6.3"}
            answer = await client.request(method, path, headers=agent)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain")
        assert (await client.get(path, headers=agent)).text == "Ollama is running"


async def test_the_version_is_a_number(client: httpx.AsyncClient) -> None:
    for base in ("", "/ollama"):
        version = (await client.get(f"{base}/api/version")).json()["version"]
        assert [part.isdecimal() for part in version.split(".")] == [True] * 3


async def test_models_are_listed(client: httpx.AsyncClient) -> None:
    (model,) = (await client.get("/api/tags")).json()["models"]
    assert model == {
        "name": "small:latest",
        "model": "small:latest",
        "modified_at": model["modified_at"],
        "size": 0,
        "digest": model["digest"],
        "details": {
            "parent_model": "",
            "format": "",
            "family": "forebay",
            "families": ["forebay"],
            "parameter_size": "",
            "quantization_level": "",
        },
        "capabilities": ["completion", "tools"],
    }
    assert datetime.fromisoformat(model["modified_at"]).tzinfo
    assert len(bytes.fromhex(model["digest"])) == 32


@pytest.mark.parametrize("field", ["model", "name"])
@pytest.mark.parametrize("name", ["small", "small:latest"])
async def test_a_model_is_shown(client: httpx.AsyncClient, field: str, name: str) -> None:
    shown = (await client.post("/api/show", json={field: name})).json()
    info = shown["model_info"]
    assert info[f"{info['general.architecture']}.context_length"] == 100_000
    assert shown["capabilities"] == ["completion", "tools"]
    assert shown["parameters"].split() == ["num_ctx", "100000"]
    missing = await client.post("/api/show", json={field: "none"})
    assert (missing.status_code, missing.json()["param"]) == (404, "model")
    assert "not found" in missing.json()["error"]


async def test_a_model_runs_while_an_engine_answers(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model,) = (await client.get("/api/ps")).json()["models"]
    assert (model["name"], model["context_length"]) == ("small:latest", 100_000)
    assert datetime.fromisoformat(model["expires_at"]).year > 2100
    monkeypatch.setattr(reachability, "available", lambda engine: False)
    assert (await client.get("/api/ps")).json() == {"models": []}


async def test_what_is_not_declared_is_not_promised(
    client: httpx.AsyncClient, engine: EngineServer, settings: Settings
) -> None:
    entry = settings.ENGINES["small"]
    for declared, words in (
        ({"tools": False}, ["completion"]),
        ({"text": False, "embeddings": True}, ["embedding"]),
        ({"text": False}, ["embedding"]),
        ({"text": False, "rerank": True}, []),
        ({"embeddings": True}, ["completion", "tools", "embedding"]),
    ):
        (pool,) = entry["pools"].values()
        pool["capabilities"] = declared
        engines.forget()
        shown = (await client.post("/api/show", json={"model": "small"})).json()
        assert shown["capabilities"] == words


@pytest.mark.unit
def test_a_digest_changes_with_the_version() -> None:
    names = [{"id": "a"}, {"id": "a", "version": "a@2"}, {"id": "b"}]
    assert len({models.digest(name) for name in names}) == 3
    assert models.digest({"id": "a"}) == models.digest({"id": "a", "version": ""})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        (
            "POST",
            "/api/blobs/sha256:29fdb92e57cf0827ded04ae6461b5931d01fa595843f55d36f5b275a52087dd2",
        ),
        ("GET", "/ollama/api/blobs/sha256:29"),
    ],
)
async def test_models_come_by_an_operator(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    refused = await client.request(method, path, json={"model": "small"})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_offered")
    assert "an operator" in refused.json()["error"]
