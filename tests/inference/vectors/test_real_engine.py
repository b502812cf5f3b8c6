"""A real llama.cpp with tiny models of random weights: embeddings, and rankings."""

import base64
import math
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_django.fixtures import Settings

from bench.servers import random_encoder
from bench.servers.random_encoder import TINY
from config.supervisor.engines.launch_command import EngineServer, llama_cpp_command
from config.supervisor.ports import find_free
from inference import engines
from inference.engine_launch import Launch
from inference.engines.base import EngineConfig
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.transport.session import EngineSession
from inference.intake import enqueue
from inference.replacing.acceptance import missing_capabilities, warm_up
from inference.worker import runner
from tenants.models import Tenant
from tests.inference.vectors.conftest import House, VectorEngine, running
from tests.inference.web import serving

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of both, started with the command of `make run`."""
    folder, urls, processes = tmp_path_factory.mktemp("models"), dict[str, str](), []
    for name in ("embed", "rerank"):
        file = random_encoder.write(folder / f"{name}.gguf", ranks=name == "rerank")
        port = find_free()
        server = EngineServer(
            name, "llama_cpp", port, "", {"name": name, "slots": 4}, Launch(str(file))
        )
        command = llama_cpp_command(server, folder)
        assert command[command.index("--task") + 1] == name
        processes.append(subprocess.Popen([*command, "--threads=1"]))
        urls[name] = f"http://127.0.0.1:{port}"
    try:
        for url in urls.values():
            _wait_for(url)
        yield urls
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait_for(url: str) -> None:
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < ends
        time.sleep(0.2)


@pytest.fixture(params=["embed", "rerank"])
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def client(
    servers: dict[str, str],
    task: str,
    quick: None,
    pool: str,
    acme: Tenant,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[httpx.AsyncClient]:
    """A tenant's, before one of the two as the model `tiny`."""
    monkeypatch.setattr(runner, "LINGER_S", 60)
    monkeypatch.setattr(enqueue, "wake_up", lambda _pool: None)
    settings.ADDRESS_PER_MINUTE = 0
    settings.ENGINES = {"tiny": {"pools": {pool: {"kind": "llama_cpp", "url": servers[task]}}}}
    engines.forget()
    house = House(VectorEngine(), acme)
    async with running(pool), serving():
        client = await house.client()
        yield client
        await client.aclose()
    engines.forget()


async def embed(client: httpx.AsyncClient, inputs: Any, **fields: Any) -> httpx.Response:
    body = {"model": "tiny", "input": inputs, **fields}
    return await client.post("/v1/embeddings", json=body)


@pytest.mark.parametrize("task", ["embed"], indirect=True)
async def test_embeddings(client: httpx.AsyncClient) -> None:
    (model,) = (await client.get("/v1/models")).json()["data"]
    assert model["context_length"] == TINY.context, "not what a slot was given room for"
    known = model["capabilities"]
    assert (known["embeddings"], known["text"], known["rerank"]) == (True, False, False)
    texts = [f"text {n} of seventy" for n in range(70)]
    whole = (await embed(client, texts)).json()
    vectors = [row["embedding"] for row in whole["data"]]
    assert {len(vector) for vector in vectors} == {TINY.size}
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-5) for vector in vectors)
    for number in (0, 31, 32, 69):
        alone = (await embed(client, texts[number], encoding_format="base64")).json()
        raw = base64.b64decode(alone["data"][0]["embedding"])
        assert struct.unpack(f"<{TINY.size}f", raw) == pytest.approx(vectors[number], abs=0.02)
    single = (await embed(client, texts[0])).json()["usage"]["prompt_tokens"]
    assert whole["usage"]["prompt_tokens"] >= 70 * single > 70 * len("text")
    ids = (await embed(client, [[5, 6], [7]])).json()
    assert ids["usage"]["prompt_tokens"] == 3
    unknown = await embed(client, [99_999])
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "invalid_request")
    long = await embed(client, ["a", "a " * 100])
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("task", ["embed"], indirect=True)
async def test_a_model_of_embeddings_takes_no_chat(client: httpx.AsyncClient) -> None:
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
    refused = await client.post("/v1/chat/completions", json=chat)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")
    pair = {"model": "tiny", "query": "a", "documents": ["b"]}
    refused = await client.post("/v1/rerank", json=pair)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")


@pytest.mark.parametrize("task", ["rerank"], indirect=True)
async def test_rankings(client: httpx.AsyncClient) -> None:
    (model,) = (await client.get("/v1/models")).json()["data"]
    known = model["capabilities"]
    assert (known["embeddings"], known["text"], known["rerank"]) == (False, False, True)
    documents = [f"document {n} {'of more words' * (n % 2)}" for n in range(40)]
    body = {"model": "tiny", "query": "which", "documents": documents}
    answer = (await client.post("/v2/rerank", json=body)).json()
    scores = [each["relevance_score"] for each in answer["results"]]
    assert sorted(each["index"] for each in answer["results"]) == list(range(40))
    assert scores == sorted(scores, reverse=True)
    best = answer["results"][0]
    alone = {**body, "documents": [documents[best["index"]]]}
    again = (await client.post("/v1/rerank", json=alone)).json()["results"][0]
    assert again["relevance_score"] == pytest.approx(best["relevance_score"], abs=0.02)
    assert answer["usage"]["prompt_tokens"] > 40 * len("which")
    refused = await embed(client, "hello")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")


def test_the_server_of_a_model_that_generates_has_no_task(tmp_path: Path) -> None:
    file = tmp_path / "no.gguf"
    file.write_bytes(b"GGUF")
    server = EngineServer("m", "llama_cpp", 1, "", {"name": "m"}, Launch(str(file)))
    command = llama_cpp_command(server, tmp_path)
    assert command[0] == sys.executable
    assert "--task" not in command


@pytest.mark.parametrize("name", ["embed", "rerank"])
async def test_a_new_version_is_warmed_up_by_what_it_is_for(
    servers: dict[str, str], name: str
) -> None:
    engine = LlamaCppEngine(EngineConfig(name, "llama_cpp", servers[name], name))
    async with EngineSession() as session:
        assert await warm_up(engine, session, 2) > 0
        assert await missing_capabilities(engine, engine, session) == []
