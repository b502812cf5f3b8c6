"""vLLM's OpenAI-compatible server. `url` is its base, e.g. http://gpu-1:8000/v1."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
import orjson
from django.conf import settings

from inference import classes
from inference.engines import load
from inference.engines.base import (
    UNREADABLE,
    AdapterMissing,
    EngineConfig,
    EngineFailed,
    Turn,
    away,
    error_in,
    read_on,
)
from inference.engines.continuation import stops_of
from inference.engines.fields import BOOL, FORMAT, FieldRule, integer, tokens
from inference.engines.kinds.open_ended import OpenEndedEngine, salt
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.kinds.vllm_patterns import TOO_FAR, counts_too_far
from inference.engines.kinds.vllm_scoring import VllmScoring
from inference.engines.prompt_bound import counted_template
from inference.engines.transport.connection import NoConnection
from inference.engines.transport.failure_reason import why_away
from inference.engines.transport.session import EngineSession
from inference.order import EMBED, RERANK, Order, OrderAdapter
from inference.templating.control_tokens import TAGS

log = logging.getLogger(__name__)
LOAD_S = 60.0  # for an adapter
_SERVED = "forebay-"  # begins the names of adapters
PRIORITY_STEP = 10  # between classes; vLLM serves the lower number first
_WORDS = FieldRule(
    lambda v: isinstance(v, list) and len(v) <= 64 and all(isinstance(w, str) and w for w in v),
    "a list of at most 64 words",
    {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 64},
)
_OF_A_PROMPT = (
    "messages",
    "tools",
    "chat_template_kwargs",
    "add_special_tokens",
    "add_generation_prompt",
    "continue_final_message",
)


class VllmEngine(OpenEndedEngine):
    """Needs vLLM 0.9 or newer: older ones do not know `cache_salt`.

    `stream_interval` is refused: with it, an answer that is cut would seem shorter than it was.
    """

    own_fields = {
        **OpenAIEngine.own_fields,
        "bad_words": _WORDS,
        "allowed_token_ids": tokens(1024),
        "thinking_token_budget": integer(-1, 2**31 - 1),
        "truncate_prompt_tokens": integer(-1, 2**31 - 1),
        "add_special_tokens": BOOL,
        "spaces_between_special_tokens": BOOL,
        "return_token_ids": BOOL,
        "return_tokens_as_token_ids": BOOL,
    }
    own_text_fields = {"response_format": FORMAT}
    product = "vLLM"
    scores_texts = True
    makes_choices = True
    tokenizes = frozenset({"text", "chat"})
    metrics = load.VLLM

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._loaded: set[UUID] = set()  # adapters, as far as this process knows

    @property
    def health_url(self) -> str:
        return self.root + "/health"

    def prepare(self, body: dict[str, Any], *, chat: bool) -> dict[str, Any]:
        """Complete a body that was prepared for SGLang, which has only one of the two fields."""
        body = super().prepare(body, chat=chat)
        if chat and body.get("continue_final_message") is True:
            body.setdefault("add_generation_prompt", False)
        return body

    def open_ended(self, body: dict[str, Any]) -> None:
        super().open_ended(body)
        body["add_generation_prompt"] = False

    def makes_together(self, body: dict[str, Any]) -> bool:
        """False at temperature 0, where vLLM refuses `n` (SamplingParams, "greedy sampling")."""
        return super().makes_together(body) and body.get("temperature") != 0

    def explained(self, failure: EngineFailed, order: Order) -> EngineFailed:
        if failure.code != "engine_failed" or not counts_too_far(order.body):
            return failure
        return EngineFailed(400, "invalid_request", TOO_FAR)

    def outgoing(self, order: Order) -> bytes:
        if order.adapter:
            named = orjson.loads(order.body) | {"model": served_name(order.adapter.version)}
            order = msgspec.structs.replace(order, body=orjson.dumps(named))
        body = super().outgoing(order)
        rank = classes.rank(order.klass) if self.config.priority_scheduling else 0
        return body[:-1] + b',"priority":%d}' % (rank * PRIORITY_STEP) if rank else body

    @asynccontextmanager
    async def scoring(self, session: EngineSession, order: Order) -> AsyncIterator[VllmScoring]:
        common: dict[str, Any] = {"model": self.config.model, "cache_salt": salt(order.tenant_id)}
        if order.adapter:
            await self.load_adapter(session, order.adapter)
            common["model"] = served_name(order.adapter.version)
        if self.config.priority_scheduling:
            common["priority"] = classes.rank(order.klass) * PRIORITY_STEP
        yield VllmScoring(partial(self.ask, session), common)

    def resumes_unchanged(self, order: Order) -> bool:
        """False with a longer stop string, whose beginning vLLM holds back inside of tokens."""
        return all(len(stop) < 2 for stop in stops_of(order)) and super().resumes_unchanged(order)

    # Adapters ------------------------------------------------------------------------------------
    def serves_adapter(self, adapter: OrderAdapter) -> bool:
        return self.config.loads_adapters and "peft" in adapter.formats

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        if not order.adapter:
            return await super().answer(session, order)
        await self.load_adapter(session, order.adapter)
        try:
            return await super().answer(session, order)
        except AdapterMissing:  # it was started anew
            await self._load_again(session, order.adapter)
            return await super().answer(session, order)

    def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        if order.adapter:
            return self._adapted_events(session, order, order.adapter, turn)
        return super().events(session, order, turn)

    async def _adapted_events(
        self, session: EngineSession, order: Order, adapter: OrderAdapter, turn: Turn
    ) -> AsyncGenerator[list[bytes]]:
        await self.load_adapter(session, adapter)
        try:
            async with aclosing(super().events(session, order, turn)) as stream:
                async for events in stream:
                    yield events
        except AdapterMissing:  # it was started anew
            await self._load_again(session, adapter)
            async with aclosing(super().events(session, order, turn)) as stream:
                async for events in stream:
                    yield events

    async def load_adapter(self, session: EngineSession, adapter: OrderAdapter) -> None:
        """Have the server load it, if it has not. Raises AdapterMissing, EngineAway.

        The paths are documented in docs.vllm.ai, "LoRA Adapters", "Dynamically serving".
        """
        if adapter.version in self._loaded:
            return
        try:
            if served_name(adapter.version) not in await self._served_names(session):
                await self._load(session, adapter.version)
        except (aiohttp.ClientConnectionError, TimeoutError) as problem:
            raise away(NoConnection(why_away(problem))) from None
        except (aiohttp.ClientError, *UNREADABLE) as problem:
            log.warning("%s: cannot load %s: %s", self.config.id, adapter.label, problem)
            raise AdapterMissing from None
        self._loaded.add(adapter.version)

    async def _load(self, session: EngineSession, version: UUID) -> None:
        """Raises ClientError, TimeoutError, UNREADABLE."""
        folder = Path(self.config.adapters_folder or settings.ADAPTERS_FOLDER)
        body = {"lora_name": served_name(version), "lora_path": str(folder / str(version))}
        try:
            await self._command(session, "/v1/load_lora_adapter", body)
        except aiohttp.ClientResponseError:
            # Another request may have had it loaded meanwhile: a second time is refused.
            if served_name(version) not in await self._served_names(session):
                raise

    def refusal(self, status: int, body: bytes) -> EngineFailed:
        if status == 404 and _SERVED in str(error_in(body).get("message")):
            return AdapterMissing()
        return super().refusal(status, body)

    async def unload_adapter(self, session: EngineSession, version: UUID) -> None:
        """Have the server forget it. Raises ClientError, TimeoutError."""
        self._loaded.discard(version)
        name = served_name(version)
        if name in await self._served_names(session):
            await self._command(session, "/v1/unload_lora_adapter", {"lora_name": name})

    async def _load_again(self, session: EngineSession, adapter: OrderAdapter) -> None:
        self._loaded.discard(adapter.version)
        await self.load_adapter(session, adapter)

    async def _served_names(self, session: EngineSession) -> set[str]:
        listed = await self._report(session, self.base + "/models")
        return {str(each["id"]) for each in listed["data"]}

    async def _command(self, session: EngineSession, path: str, body: dict[str, str]) -> None:
        """Post it. The answer is a sentence, no JSON. Raises ClientError, TimeoutError."""
        async with self._asking(session, self.root + path, body, LOAD_S) as response:
            response.raise_for_status()

    # What it says of itself -----------------------------------------------------------------------
    def questions(self) -> tuple[Callable[[EngineSession], Awaitable[None]], ...]:
        return self._learn_tasks, self._learn_slots, self._learn_tags, self._learn_template

    async def _learn_tasks(self, session: EngineSession) -> None:
        """Learn whether it makes texts, embeddings or rankings. A pooling model makes no text."""
        if "rerank" in self.known:  # declared, or learnt already
            return
        embeds, ranks = await self._does(session, EMBED), await self._does(session, RERANK)
        self.learn({"text": not (embeds or ranks), "embeddings": embeds, "rerank": ranks})

    async def _learn_slots(self, session: EngineSession) -> None:
        """Learn the slots from a server in development mode; others answer 404."""
        if self.config.auto_slots:
            info = await self._report(session, self.root + "/server_info?config_format=json")
            self.learn_slots(info["vllm_config"]["scheduler_config"]["max_num_seqs"])

    async def _learn_tags(self, session: EngineSession) -> None:
        """Learn the control tokens among texts that may be HTML tags as well."""
        if self.control_tokens:
            return
        prompts = [{"prompt": tag, "add_special_tokens": False} for tag in TAGS]
        counts = [await self._count(session, prompt) for prompt in prompts]
        self.learn_control_tokens(tag for tag, n in zip(TAGS, counts, strict=True) if n == 1)

    async def _learn_template(self, session: EngineSession) -> None:
        count = partial(self._count, session)
        self.learn_template(await counted_template(count, tools=self.capabilities.tools))

    async def count_prompt(self, session: EngineSession, order: Order) -> int:
        """Ask the engine's own tokenizer, or estimate if that fails or cannot be true."""
        try:
            tokens = await self._prompt_tokens(session, order)
        except (aiohttp.ClientError, TimeoutError, OverflowError, *UNREADABLE):
            return self.estimate_prompt(order)
        is_possible = 0 <= tokens <= max(self.context_length, len(order.body))
        return tokens if is_possible else self.estimate_prompt(order)

    async def _prompt_tokens(self, session: EngineSession, order: Order) -> int:
        body = orjson.loads(order.body)
        if order.chat:
            return await self.count_chat(session, body)
        prompt = body["prompt"]
        if isinstance(prompt, list):
            return len(prompt)
        return await self._count(session, {"prompt": prompt})

    async def count_chat(self, session: EngineSession, body: dict[str, Any]) -> int:
        return await self._count(session, {k: body[k] for k in _OF_A_PROMPT if k in body})

    async def _count(self, session: EngineSession, prompt: dict[str, Any]) -> int:
        return int((await self._tokenized(session, prompt))["count"])

    async def _tokenized(self, session: EngineSession, prompt: dict[str, Any]) -> Any:
        body = {"model": self.config.model, **prompt}
        return await self._report(session, self.root + "/tokenize", body)

    async def tokens_of(
        self, session: EngineSession, body: dict[str, Any], *, chat: bool, special: bool
    ) -> list[int]:
        names = _OF_A_PROMPT if chat else ("prompt",)
        prompt = {name: body[name] for name in names if name in body}
        answer = await self._tokenized(session, prompt | {"add_special_tokens": special})
        return list(map(int, answer["tokens"]))

    async def text_of(self, session: EngineSession, tokens: list[int]) -> str:
        return await self.detokenized(session, tokens, "prompt")


def served_name(version: UUID) -> str:
    """Returns an adapter's name as a model of the server. It is never for clients."""
    return f"{_SERVED}{version.hex}"
