"""The inference API in the tests' own process, before an engine with several answers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
from aiohttp import web
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings
from redis import Redis

from inference import engines
from inference.intake import enqueue
from inference.models import Usage
from inference.worker import runner
from inference.worker.runner import Runner
from tenants.models import ApiKey, Tenant
from tests.inference.web import served, serving

in_database = database_sync_to_async
PROMPT_TOKENS, TOKENS = 10, 3  # of each question, and of each answer


class ChoiceEngine:
    """Answers `PROMPT NUMBER end`, where NUMBER counts the answers to that prompt.

    `fails_at` is the number of the question that gets an error, in the middle of a stream.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answered: Counter[str] = Counter()
        self.halfway = self.left = 0  # streams in their middle, and those whose reader has gone
        self.fails_at = 0
        self.status = 200
        self.goes_on = asyncio.Event()  # in the middle of each answer
        self.goes_on.set()
        self.vocabulary = {1: "Paris", 2: " is", 3: " big"}
        self.template_refuses = False  # a chat whose tokens are asked for

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "POST":
            return web.json_response({"data": []})
        body = orjson.loads(await request.read())
        if request.path.endswith("tokenize"):
            return self._of_tokens(request.path, body)
        self.asked.append(body)
        if self.status != 200:
            return web.json_response({"error": {"message": "no"}}, status=self.status)
        try:
            return await self._answer(request, body, fails=len(self.asked) == self.fails_at)
        except ConnectionResetError:
            self.left += 1
            return web.Response()

    def _of_tokens(self, path: str, body: dict[str, Any]) -> web.Response:
        if self.template_refuses:
            return web.json_response({"error": "roles must alternate"}, status=400)
        if path.endswith("/detokenize"):
            if any(token not in self.vocabulary for token in body["tokens"]):
                return web.json_response({"error": "out of range"}, status=400)
            text = "".join(self.vocabulary[token] for token in body["tokens"])
            return web.json_response({"prompt": text, "text": text})
        count = 2 if "messages" in body else len(body["prompt"].split())
        tokens = [0] * body.get("add_special_tokens", True) + list(range(1, count + 1))
        return web.json_response({"count": len(tokens), "max_model_len": 9, "tokens": tokens})

    async def _answer(
        self, request: web.BaseRequest, body: dict[str, Any], *, fails: bool
    ) -> web.StreamResponse:
        texts = [self._text(body) for _ in range(body.get("n", 1))]
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": TOKENS * len(texts)}
        chat = "messages" in body
        if body.get("stream"):
            return await self._stream(request, texts, usage, chat=chat, fails=fails)
        await self.goes_on.wait()
        if fails:
            return web.json_response({"error": {"message": "no"}}, status=500)
        choices = [
            {"index": number, "finish_reason": "stop", **_words("message", text, chat=chat)}
            for number, text in enumerate(texts)
        ]
        kind = "chat.completion" if chat else "text_completion"
        return web.json_response(_named({"object": kind, "choices": choices, "usage": usage}))

    def _text(self, body: dict[str, Any]) -> str:
        prompt = str(body["prompt"] if "prompt" in body else body["messages"][-1]["content"])
        self.answered[prompt] += 1
        return f"{prompt} {self.answered[prompt]} end"

    async def _stream(
        self,
        request: web.BaseRequest,
        texts: list[str],
        usage: dict[str, int],
        *,
        chat: bool,
        fails: bool,
    ) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        kind = "chat.completion.chunk" if chat else "text_completion"
        pieces = [text.split(" ") for text in texts]
        for place in range(TOKENS):
            if place == 1:
                self.halfway += 1
                await self.goes_on.wait()
                if fails:
                    await reply.write(b'data: {"error":{"message":"no","code":500}}\n\n')
                    return reply
            for number, words in enumerate(pieces):
                word = f" {words[place]}" if place else words[place]
                choice = {"index": number, "finish_reason": None}
                choice |= _words("delta", word, chat=chat)
                await _say(reply, _named({"object": kind, "choices": [choice]}))
        for number in range(len(texts)):
            end = {"index": number, "finish_reason": "stop", **_words("delta", "", chat=chat)}
            await _say(reply, _named({"object": kind, "choices": [end]}))
        await _say(reply, _named({"object": kind, "choices": [], "usage": usage}))
        await reply.write(b"data: [DONE]\n\n")
        return reply


def _named(fields: dict[str, Any]) -> dict[str, Any]:
    return {"id": "theirs-1", "created": 1, "model": "theirs", **fields}


def _words(name: str, text: str, *, chat: bool) -> dict[str, Any]:
    return {name: {"content": text}} if chat else {"text": text}


async def _say(reply: web.StreamResponse, chunk: dict[str, Any]) -> None:
    await reply.write(b"data: " + orjson.dumps(chunk) + b"\n\n")


@dataclass
class House:
    """A tenant before the model `small`."""

    engine: ChoiceEngine
    tenant: Tenant
    together: bool  # the engine makes all answers to a prompt at once
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    async def client(self, tenant: Tenant | None = None) -> httpx.AsyncClient:
        """Returns a client with a new key."""
        _, text = await in_database(ApiKey.issue)(tenant or self.tenant, "ci", by="test")
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(served, client=("198.51.100.7", 5000)),
            base_url="http://forebay",
            headers={"Authorization": f"Bearer {text}"},
            timeout=60,
        )
        self.clients.append(client)
        return client

    async def usages(self) -> list[Usage]:
        return await in_database(lambda: list(Usage.objects.order_by("created_at")))()

    def prompt_tokens(self, prompts: int, n: int) -> int:
        """Returns what a request counts: a prompt is read once, or for each of its answers."""
        return PROMPT_TOKENS * prompts * (1 if self.together else n)


@pytest.fixture(params=["openai", "vllm"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def house(
    kind: str,
    quick: None,
    pool: str,
    acme: Tenant,
    valkey: Redis,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[House]:
    monkeypatch.setattr(runner, "LINGER_S", 60)
    monkeypatch.setattr(enqueue, "wake_up", lambda _pool: None)
    engine = ChoiceEngine()
    server = web.ServerRunner(web.Server(engine), shutdown_timeout=0.1)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    host, port = server.addresses[0][:2]
    configured = {"kind": kind, "url": f"http://{host}:{port}/v1", "context_length": 512}
    capable = {"capabilities": {"rerank": False, "embeddings": False}, "template_tokens": 8}
    settings.ENGINES = {"small": {"pools": {pool: configured | capable}}}
    settings.ADDRESS_PER_MINUTE = 0
    engines.forget()
    for key in valkey.scan_iter("cache:*"):
        valkey.delete(key)
    house = House(engine, acme, together=kind == "vllm")
    work = Runner(pool, engines.pools()[pool].engines[0])
    drain = asyncio.create_task(work.drain())
    async with serving():
        yield house
        engine.goes_on.set()
        for client in house.clients:
            await client.aclose()
    work.stop()
    for run in work.requests.running.values():
        run.cancel()
    await drain
    await server.cleanup()
    engines.forget()


@pytest.fixture
async def client(house: House) -> httpx.AsyncClient:
    return await house.client()
