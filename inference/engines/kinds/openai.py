"""Any OpenAI-compatible server by base URL: a hosted API, a second cluster, a proxy."""

import hmac
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from django.conf import settings

from inference.engines.base import Engine, EngineConfig, Turn, read_on
from inference.engines.fields import (
    BOOL,
    LIST,
    OBJECT,
    SERVICE,
    STRUCTURED,
    integer,
    number,
    tokens,
)
from inference.engines.transport.session import EngineSession
from inference.order import Order


class OpenAIEngine(Engine):
    """An engine whose `url` is an OpenAI SDK's base_url, e.g. http://gpu-1:8000/v1.

    OpenAI's own service is recognised by its host. Only it gets the parameters that other servers
    ignore (`fields.SERVICE`), and its own names of others. After OpenAI's reference ("Create chat
    completion") and Azure's ("Azure OpenAI in Foundry Models").
    """

    own_fields = {
        "top_k": integer(-1, 2**31 - 1),
        "min_p": number(0, 1),
        "repetition_penalty": number(0, 10),
        "min_tokens": integer(0, 2**31 - 1),
        "stop_token_ids": tokens(64),
        "ignore_eos": BOOL,
        "skip_special_tokens": BOOL,
        "include_stop_str_in_output": BOOL,
        "add_generation_prompt": BOOL,
        "continue_final_message": BOOL,
        "include_reasoning": BOOL,
        "separate_reasoning": BOOL,
        "enable_thinking": BOOL,
        "thinking_budget": integer(0, 2**31 - 1),
        "guided_json": OBJECT,
        "guided_choice": LIST,
        "structured_outputs": STRUCTURED,
    }

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.is_openais = self.knows_refusals = _is_openais(config.url)
        self.makes_choices = self.makes_choices or self.is_openais
        if self.is_openais:
            self._chat_fields = {**self._chat_fields, **SERVICE}
            self.reads_reasoning = False

    @property
    def body_form(self) -> str:
        form = super().body_form
        return f"{form} at OpenAI" if self.is_openais else form

    def thinking(self, *, on: bool, budget: int | None) -> dict[str, Any]:
        """Returns the effort nearest to a budget at the service, whose models have no switch."""
        if not self.is_openais:
            return super().thinking(on=on, budget=budget)
        if not on or budget is None:
            return {}
        efforts = ((most, name) for most, name in _EFFORTS if budget <= most)
        return {"reasoning_effort": next(efforts, (0, "high"))[1]}

    def outgoing(self, order: Order) -> bytes:
        return _in_its_names(order) if self.is_openais else order.body

    def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        events = super().events(session, order, turn)
        return _named(events) if self.config.kind == "openai" else events


_EFFORTS = ((4_096, "low"), (16_384, "medium"))  # tokens of thinking at most
_HOSTS = (
    "api.openai.com",
    "openai.azure.com",
    "services.ai.azure.com",
    "cognitiveservices.azure.com",
)
# What Azure sends first, with nothing but the results of its content filter.
_NO_ID, _NO_CHOICES = re.compile(rb'"id":\s*""'), re.compile(rb'"choices":\s*\[\s*\]')
_FIGURES = re.compile(rb'"usage":\s*\{')
# Fields that may name a person, or would mix two tenants' users and caches.
_OF_A_TENANT = ("user", "safety_identifier", "prompt_cache_key")


def _is_openais(url: str) -> bool:
    """Returns whether the address is the service's: one of its hosts, or a name below one."""
    host = urlsplit(url).hostname or ""
    return any(host == service_host or host.endswith(f".{service_host}") for service_host in _HOSTS)


async def _named(answer: AsyncGenerator[list[bytes]]) -> AsyncGenerator[list[bytes]]:
    """Leave out events without id and choices: the names of an answer are learnt from its first.

    Clients that take a choice from each event would fail on them, too.
    """
    async with aclosing(answer) as stream:
        async for events in stream:
            if named := [event for event in events if not _is_nameless(event)]:
                yield named


def _is_nameless(event: bytes) -> bool:
    is_empty = _NO_ID.search(event) and _NO_CHOICES.search(event)
    return bool(is_empty) and not _FIGURES.search(event)


def _in_its_names(order: Order) -> bytes:
    """Returns the recorded body in the service's own names.

    Its reasoning models refuse `max_tokens`; all of its chat models take `max_completion_tokens`.
    """
    fields: dict[str, Any] = orjson.loads(order.body)
    if order.chat and (limit := fields.pop("max_tokens", None)) is not None:
        fields["max_completion_tokens"] = limit
    for name in _OF_A_TENANT:
        if fields.get(name):
            fields[name] = _pseudonym(order.tenant_id, fields[name])
    return orjson.dumps(fields)


def _pseudonym(tenant_id: UUID, name: str) -> str:
    """Returns 64 characters, the same for a tenant's name each time, and meaningless to others."""
    text = b"openai|%b|%b" % (tenant_id.bytes, name.encode())
    return hmac.digest(settings.CACHE_SALT_KEY, text, sha256).hex()
