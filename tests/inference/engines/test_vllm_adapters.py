"""Adapters on vLLM: loaded by its documented API, once for each version, and again after a restart.

https://docs.vllm.ai/en/latest/features/lora/ ("Dynamically serving LoRA Adapters")
"""

import asyncio
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import web

from inference.engines.base import AdapterMissing
from inference.engines.kinds.open_ended import salt
from inference.engines.kinds.vllm import VllmEngine, served_name
from inference.engines.transport.session import EngineSession
from inference.order import Order, OrderAdapter
from tests.inference.engines.served import Served, an_engine, heard
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
ADAPTER = OrderAdapter("support", uuid4(), "support@1", "peft")
NAME = served_name(ADAPTER.version)
WHOLE = b'{"model":"theirs","messages":[]}'
_CHOICE = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}


class Vllm:
    """Knows its base and what it was told to load. `refuses` everything that it should load."""

    def __init__(self, served: Served) -> None:
        self.served, self.loaded, self.refuses = served, dict[str, str](), False
        served.handler = self._answer
        options = {"loads_adapters": True, "adapters_folder": "/mnt/adapters"}
        engine = an_engine(f"{served.url}/v1", VllmEngine, **options)
        assert isinstance(engine, VllmEngine)
        self.engine = engine

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            return web.json_response({"data": [{"id": name} for name in ("theirs", *self.loaded)]})
        body = orjson.loads(await request.read())
        if request.path == "/v1/load_lora_adapter":
            return self._load(body)
        if request.path == "/v1/unload_lora_adapter":
            del self.loaded[body["lora_name"]]
            return web.Response(text="Success: removed")
        if body["model"] not in ("theirs", *self.loaded):
            message = f"The model `{body['model']}` does not exist."
            error = {"message": message, "type": "NotFoundError", "code": 404}
            return web.json_response({"error": error}, status=404)
        if body.get("stream"):
            return web.Response(body=b"data: {}\n\ndata: [DONE]\n\n")
        return web.json_response({"choices": [_CHOICE]})

    def _load(self, body: dict[str, str]) -> web.Response:
        if self.refuses:
            return web.json_response({"error": {"message": "No adapter found"}}, status=404)
        if body["lora_name"] in self.loaded:  # so does vLLM
            message = f"The lora adapter '{body['lora_name']}' has already been loaded."
            return web.json_response({"error": {"message": message}}, status=400)
        self.loaded[body["lora_name"]] = body["lora_path"]
        return web.Response(text="Success: LoRA adapter added successfully.")

    def asked(self, path: str) -> list[dict[str, Any]]:
        return [orjson.loads(body) for at, body, _key in self.served.asked if at == path]


@pytest.fixture
def vllm(served: Served) -> Vllm:
    return Vllm(served)


def an_adapted_order(**changes: Any) -> Order:
    return an_order(adapter=ADAPTER, **changes)


async def test_it_is_loaded_before_its_first_request_and_named_as_the_model(
    vllm: Vllm, session: EngineSession
) -> None:
    order = an_adapted_order(stream=False)
    for _ in range(2):
        await vllm.engine.answer(session, order)
    assert vllm.asked("/v1/load_lora_adapter") == [
        {"lora_name": NAME, "lora_path": f"/mnt/adapters/{ADAPTER.version}"}
    ]
    bodies = vllm.asked("/v1/chat/completions")
    assert [body["model"] for body in bodies] == [NAME, NAME]
    assert bodies[0]["cache_salt"] == salt(order.tenant_id, ADAPTER.version)
    assert bodies[0]["cache_salt"] != salt(order.tenant_id)


async def test_a_server_that_was_started_anew_loads_it_again(
    vllm: Vllm, session: EngineSession
) -> None:
    assert len(await heard(vllm.engine, session, an_adapted_order())) == 2
    vllm.loaded.clear()
    assert len(await heard(vllm.engine, session, an_adapted_order())) == 2
    vllm.loaded.clear()
    whole = an_adapted_order(stream=False, body=WHOLE)
    assert b"Hi" in await vllm.engine.answer(session, whole)
    assert len(vllm.asked("/v1/load_lora_adapter")) == 3


@pytest.mark.parametrize("stream", [True, False])
async def test_requests_that_come_together_after_a_start_load_it_without_a_failure(
    vllm: Vllm, session: EngineSession, stream: bool
) -> None:
    """Workers of several processes may meet as well: the server refuses all loads but the first."""
    second = Vllm(vllm.served).engine
    vllm.served.handler = vllm._answer
    order = an_adapted_order(stream=stream, body=WHOLE)
    engines = [vllm.engine, second] * 4
    if stream:
        await asyncio.gather(*(heard(engine, session, order) for engine in engines))
    else:
        await asyncio.gather(*(engine.answer(session, order) for engine in engines))
    assert len(vllm.asked("/v1/chat/completions")) == len(engines)


async def test_one_that_it_cannot_load_is_missing_and_the_base_goes_on(
    vllm: Vllm, session: EngineSession
) -> None:
    vllm.refuses = True
    for _ in range(2):
        with pytest.raises(AdapterMissing):
            await vllm.engine.answer(session, an_adapted_order(stream=False))
    assert b"Hi" in await vllm.engine.answer(session, an_order(stream=False, body=WHOLE))
    (body,) = vllm.asked("/v1/chat/completions")
    assert body["model"] == "theirs"


async def test_an_unloaded_one_is_gone_from_the_server(vllm: Vllm, session: EngineSession) -> None:
    await vllm.engine.load_adapter(session, ADAPTER)
    for _ in range(2):
        await vllm.engine.unload_adapter(session, ADAPTER.version)
    assert not vllm.loaded
    assert len(vllm.asked("/v1/unload_lora_adapter")) == 1


def test_without_the_option_it_serves_no_adapter() -> None:
    assert not an_engine("http://x/v1", VllmEngine).serves_adapter(ADAPTER)


def test_it_serves_those_with_the_files_that_it_reads() -> None:
    engine = an_engine("http://x/v1", VllmEngine, loads_adapters=True)
    assert engine.serves_adapter(ADAPTER)
    assert not engine.serves_adapter(OrderAdapter("support", uuid4(), "support@1", "gguf"))
