"""llama.cpp's server, embedded or your own. `url` is its root, e.g. http://127.0.0.1:8080."""

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson

from inference.engines import load
from inference.engines.base import (
    REPORT_S,
    UNREADABLE,
    AdapterMissing,
    BadToken,
    Engine,
    EngineAway,
    EngineConfig,
    EngineFailed,
    Turn,
    away,
    error_in,
    read_on,
)
from inference.engines.continuation import after_prompt, append_to_answer, rest_of
from inference.engines.fields import BOOL, integer, number, one_of, only
from inference.engines.kinds.bundled_model import template_for
from inference.engines.kinds.exclusive_use import EngineUse
from inference.engines.kinds.llama_cpp_answers import Logprobs, RequiredCall, Translation
from inference.engines.kinds.llama_cpp_scoring import LlamaCppScoring
from inference.engines.kinds.prompt_slots import Lease, Owner, Slots
from inference.engines.prompt_bound import counted_template
from inference.engines.transport.connection import NoConnection
from inference.engines.transport.failure_reason import why_away
from inference.engines.transport.session import EngineSession, report_in
from inference.order import EMBED, RERANK, Order, OrderAdapter
from inference.templating import control_tokens
from infrastructure.redis.link import RedisLink

# Messages of client errors to which it answers 500.
_CLIENTS_MISTAKE = re.compile(
    r"is not supported|must (be|have|contain)|roles? must|Jinja"
    r"|^(Failed to parse|Unsupported|Invalid|Missing|Expected|Cannot use|Unable to generate parser)"
)
_TOO_LONG_INPUT = re.compile(r"input \(\d+ tokens\) is (too large|larger than)")
_MODALITIES = (("images", "vision"), ("audio", "audio"), ("video", "video"))
_HERE = ("127.0.0.1", "::1", "localhost")
_OF_A_PROMPT = ("messages", "tools", "chat_template_kwargs")
_UNREADABLE = (aiohttp.ClientError, TimeoutError, *UNREADABLE)


class LlamaCppEngine(Engine):
    health_path = "/health"
    models_path = "/v1/models"
    chat_path = "/v1/chat/completions"
    text_path = "/v1/completions"
    task_paths: ClassVar[Mapping[str, str]] = {EMBED: "/v1/embeddings", RERANK: "/v1/rerank"}
    metrics = load.LLAMA_CPP  # if it was started with --metrics
    own_fields = {
        "top_k": integer(-1, 2**31 - 1),
        "min_p": number(0, 1),
        "typical_p": number(0, 1),
        "top_n_sigma": number(-1, 100),
        "xtc_probability": number(0, 1),
        "xtc_threshold": number(0, 1),
        "dynatemp_range": number(0, 2),
        "dynatemp_exponent": number(0, 10),
        "repeat_penalty": number(0, 10),
        "repeat_last_n": integer(-1, 4096),  # each answer gets a buffer of that length
        "mirostat": integer(0, 2),
        "mirostat_tau": number(0, 100),
        "mirostat_eta": number(0, 1),
        "ignore_eos": BOOL,
        "cache_prompt": BOOL,
        "reasoning_format": one_of("none", "auto", "deepseek"),
    }
    own_text_fields = {
        "suffix": only("", "empty: this engine does not fill in the middle"),
        "echo": only(False, "false: this engine does not say the prompt again"),
    }
    can = {"files": False, "dimensions": False}  # it ignores `dimensions`
    # The words of a schema that llama.cpp reads (common/json-schema.cpp).
    enforces = frozenset(
        {
            "$ref",
            "additionalProperties",
            "allOf",
            "anyOf",
            "const",
            "enum",
            "exclusiveMaximum",
            "exclusiveMinimum",
            "format",
            "items",
            "maxItems",
            "maxLength",
            "maximum",
            "minItems",
            "minLength",
            "minimum",
            "pattern",
            "prefixItems",
            "properties",
            "required",
            "type",
        }
    )
    parts = ("text", "image_url", "input_audio", "video_url")
    tool_types = ("function",)
    scores_texts = True
    tokenizes = frozenset({"text", "chat"})
    most_choices = 500  # it follows each by itself: 1000 take ten seconds for a few tokens
    most_readings = 500

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(replace(config, normal_form=""))  # its tokenizers do not normalise
        self.computes_here = urlsplit(self.base).hostname in _HERE
        self._writes_calls_as_json = bool(template_for(config.launch.get("model", "")))
        self._slots = Slots()
        self._tasks: dict[str, bool] = {}  # that its server was started for
        self._known: list[tuple[EngineUse, Slots]] = []  # of earlier runners

    @asynccontextmanager
    async def used(self, redis: RedisLink) -> AsyncGenerator[Engine]:
        """Yields the engine with an earlier runner's knowledge of the slots, if still valid."""
        own = copy(self)
        use = EngineUse(self.base)
        slots_of_use = self._known.pop() if self._known else (use, Slots(use))
        use, own._slots = slots_of_use
        async with use.lasting(redis):
            yield own
        self._known.append(slots_of_use)

    @asynccontextmanager
    async def announced(self, redis: RedisLink) -> AsyncGenerator[None]:
        async with EngineUse(self.base).announced(redis):
            yield

    async def probe(self, session: EngineSession) -> bool:
        try:
            props = await self._report(session, self.base + "/props")
            modalities = {name: bool(props["modalities"].get(key)) for name, key in _MODALITIES}
            tools = bool(props["chat_template_caps"]["supports_tools"])
            self._tasks = self._tasks or await self._learn_tasks(session)
            self.learn(modalities | {"tools": tools} | self._tasks)
        except _UNREADABLE:
            self._tasks = {}  # it may come back as another server
            return False
        self.learn_slots(props.get("total_slots"))
        ends = (props.get("bos_token"), props.get("eos_token"))
        template = control_tokens.of_template(str(props.get("chat_template", "")))
        self.learn_control_tokens((*ends, *template))
        with contextlib.suppress(*_UNREADABLE):
            self.learn_context(int(props["default_generation_settings"]["n_ctx"]))
        with contextlib.suppress(*_UNREADABLE):  # it takes no empty texts: the guess stays
            count = partial(self._count, session)
            self.learn_template(await counted_template(count, tools=self.capabilities.tools))
        return True

    async def _learn_tasks(self, session: EngineSession) -> dict[str, bool]:
        """Returns which of embeddings, rankings and texts it was started for.

        A server for one of the first two makes no text. One for rankings would answer questions for
        embeddings with zeros.
        """
        if await self._does(session, RERANK):
            return {"text": False, "embeddings": False, "rerank": True}
        embeds = await self._does(session, EMBED)
        return {"text": not embeds, "embeddings": embeds, "rerank": False}

    async def _count(self, session: EngineSession, chat: dict[str, Any]) -> int:
        prompt = await self._rendered(session, chat)
        return await self._tokens(session, {"content": prompt, "parse_special": True})

    def prepare(self, body: dict[str, Any], *, chat: bool) -> dict[str, Any]:
        """Leave only the tool that must be called: llama.cpp ignores its name in the choice."""
        choice = body.get("tool_choice")
        if chat and isinstance(choice, dict) and (function := choice.get("function")):
            chosen = [t for t in body["tools"] if _name(t) == function["name"]]
            body |= {"tools": chosen, "tool_choice": "required"}
        return super().prepare(body, chat=chat)

    def refusal(self, status: int, body: bytes) -> EngineFailed:
        message = str(error_in(body).get("message") or "")
        if status == 500 and _TOO_LONG_INPUT.search(message):
            return EngineFailed(400, "context_length_exceeded", self._too_long(message, {}))
        if status in (500, 502) and _CLIENTS_MISTAKE.search(message):
            status = 400
        return super().refusal(status, body)

    @property
    def cache_is_private(self) -> bool:
        return True

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        if order.task:  # it takes no slot by number, and keeps no prompt
            return await super().answer(session, order)
        shapes = self._shapes(order)
        async with self._with_slot(session, order, shapes) as (placed, lease):
            body = await super().answer(session, placed)
            lease.served = True
            for shape in shapes:
                body = shape.of_answer(body)
            return body

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        shapes = self._shapes(order)
        async with (
            self._with_slot(session, order, shapes) as (placed, lease),
            aclosing(super().events(session, placed, turn)) as stream,
        ):
            async for events in stream:
                lease.served = lease.served or b'"choices"' in events[0]
                for shape in shapes:
                    events = list(map(shape.of_event, events))
                yield events

    def _shapes(self, order: Order) -> list[Translation]:
        call = RequiredCall.for_order(order) if self._writes_calls_as_json else None
        return [each for each in (Logprobs.for_order(order), call) if each]

    @asynccontextmanager
    async def _with_slot(
        self, session: EngineSession, order: Order, shapes: Iterable[Translation]
    ) -> AsyncIterator[tuple[Order, Lease]]:
        """Yields the order with its slot, and the lease of the slot."""
        count = partial(self._count_slots, session)
        try:
            async with self._slots.lease(_owner(order), order.body, count) as lease:
                body = order.body[:-1] + b',"id_slot":%d' % lease.number
                if order.adapter:
                    number = await self._number_of(session, order.adapter)
                    body += b',"lora":[{"id":%d,"scale":1}]' % number
                if not lease.own_cache:
                    body += b',"cache_prompt":false'
                for shape in shapes:
                    body += shape.outgoing
                yield msgspec.structs.replace(order, body=body + b"}"), lease
        except EngineAway:  # it may come back with other slots
            self._slots.forget()
            raise

    @asynccontextmanager
    async def scoring(self, session: EngineSession, order: Order) -> AsyncIterator[LlamaCppScoring]:
        ask, count = partial(self.ask, session), partial(self._count_slots, session)
        vocabulary, fields = await self._vocabulary_size(session), dict[str, Any]()
        if order.adapter:
            number = await self._number_of(session, order.adapter)
            fields["lora"] = [{"id": number, "scale": 1}]
        try:
            async with self._slots.lease(_owner(order), order.body, count) as lease:
                yield LlamaCppScoring(ask, lease, self._slots.knowledge, vocabulary, fields)
        except EngineAway:
            self._slots.forget()
            raise

    async def _vocabulary_size(self, session: EngineSession) -> int:
        """Returns the number of the model's tokens; 0 if the server does not say it."""
        with contextlib.suppress(*_UNREADABLE):
            listed = await self._report(session, self.base + "/v1/models")
            return int(listed["data"][0]["meta"]["n_vocab"])
        return 0

    async def _count_slots(self, session: EngineSession) -> int:
        """Returns the number of slots. Raises EngineAway.

        llama.cpp would take a number beyond its last slot for "any".
        """
        try:
            url = self.base + "/props"
            async with self._asking(session, url, within_s=REPORT_S) as response:
                body = await report_in(response)
            self._check(response.status, {}, body)
            total = int(orjson.loads(body)["total_slots"])
        except (aiohttp.ClientError, TimeoutError) as problem:
            raise away(NoConnection(why_away(problem))) from None
        except (LookupError, TypeError, ValueError):
            message = "the engine does not say how many slots it has: is it llama.cpp's server?"
            raise EngineFailed(502, "engine_failed", message) from None
        return max(1, min(total, self.config.slots))

    # Adapters ------------------------------------------------------------------------------------
    def serves_adapter(self, adapter: OrderAdapter) -> bool:
        return str(adapter.version) in self.config.adapters

    async def load_adapter(self, session: EngineSession, adapter: OrderAdapter) -> None:
        """Check that the server read it at its start. Raises AdapterMissing, EngineAway."""
        await self._number_of(session, adapter)

    async def _number_of(self, session: EngineSession, adapter: OrderAdapter) -> int:
        """Returns the server's number of an adapter. Raises AdapterMissing, EngineAway.

        It is asked each time: a server that was started anew may count other files, and an unknown
        number would be answered by the base.
        """
        try:
            loaded = await self._report(session, self.base + "/lora-adapters")
            numbers = {Path(each["path"]).stem: int(each["id"]) for each in loaded}
            return numbers[str(adapter.version)]
        except (aiohttp.ClientConnectionError, TimeoutError) as problem:
            raise away(NoConnection(why_away(problem))) from None
        except (aiohttp.ClientError, *UNREADABLE):
            raise AdapterMissing from None

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        """Continue after `text`, with only the new part in the answer.

        None if the last message is the assistant's.
        """
        body = rest_of(order, tokens)
        if body is None:
            return None
        if not order.chat:
            return after_prompt(body, text)
        if body["messages"][-1]["role"] == "assistant":
            return None
        append_to_answer(body["messages"], text, open_ended=False)
        return orjson.dumps(body)

    async def count_prompt(self, session: EngineSession, order: Order) -> int:
        """Ask the engine's own tokenizer, or estimate if that fails."""
        try:
            body = orjson.loads(order.body)
            chat = {k: body[k] for k in _OF_A_PROMPT if k in body} if order.chat else None
            prompt = await self._rendered(session, chat) if chat else body["prompt"]
            if isinstance(prompt, list):  # tokens already
                return len(prompt)
            return await self._tokens(session, {"content": prompt})
        except _UNREADABLE:
            return await super().count_prompt(session, order)

    async def count_chat(self, session: EngineSession, body: dict[str, Any]) -> int:
        return await self._count(session, {k: body[k] for k in _OF_A_PROMPT if k in body})

    async def _rendered(self, session: EngineSession, chat: dict[str, Any]) -> Any:
        return (await self._report(session, self.base + "/apply-template", chat))["prompt"]

    async def _tokens(self, session: EngineSession, text: dict[str, Any]) -> int:
        return len(await self._tokenized(session, {**text, "add_special": True}))

    async def _tokenized(self, session: EngineSession, text: dict[str, Any]) -> list[Any]:
        tokens: list[Any] = (await self._report(session, self.base + "/tokenize", text))["tokens"]
        return tokens

    async def tokens_of(
        self, session: EngineSession, body: dict[str, Any], *, chat: bool, special: bool
    ) -> list[int]:
        if chat:
            prompt = {name: body[name] for name in _OF_A_PROMPT if name in body}
            text, special = await self._rendered(session, prompt), True  # as it reads a chat itself
        else:
            text = body["prompt"]
        question = {"content": text, "parse_special": True, "add_special": special}
        return list(map(int, await self._tokenized(session, question)))

    async def text_of(self, session: EngineSession, tokens: list[int]) -> str:
        """Returns the text. The numbers are compared with the vocabulary here: it does not."""
        if max(tokens) >= await self._vocabulary_size(session):
            raise BadToken
        answer = await self._report(session, self.base + "/detokenize", {"tokens": tokens})
        return str(answer["content"])


def _owner(order: Order) -> Owner:
    return (order.tenant_id, order.adapter.version) if order.adapter else order.tenant_id


def _name(tool: dict[str, Any]) -> Any:
    return (tool.get("function") or {}).get("name")
