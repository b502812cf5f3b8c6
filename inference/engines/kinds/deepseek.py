"""DeepSeek's hosted API. `url` is https://api.deepseek.com, with or without /v1 or /beta.

After its public documentation (api-docs.deepseek.com: "Create Chat Completion", "Create FIM
Completion", "Chat Prefix Completion", "Context Caching", "Error Codes", "Rate Limit & Isolation").
"""

import hmac
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

import aiohttp
import orjson
from django.conf import settings

from inference.engines.base import Engine, EngineConfig, EngineFailed, Turn, error_in, read_on
from inference.engines.continuation import append_to_answer, continued_body, takes_prefix
from inference.engines.transport.session import EngineSession, report_in
from inference.order import Order

_PREFIX = b'"prefix":'  # in a body; in a text its quotes would be escaped
_HIT = b'"prompt_cache_hit_tokens":'
_HITS = re.compile(_HIT + rb"\s*(\d+)")
_DETAILS = b'"prompt_tokens_details":'
# Fields of OpenAI's API that change the answer, and that DeepSeek would ignore.
_IGNORED_THERE = ("logit_bias", "chat_template_kwargs")
_OPERATORS = (401, 402, 403)  # the key, the balance


class DeepSeekEngine(Engine):
    """The `user_id` of requests keeps each tenant's part of the prompt cache apart.

    The documentation does not promise that for completions without a chat, so callers do not see
    how much of those prompts was cached.
    """

    can = {
        "embeddings": False,
        "rerank": False,
        "audio": False,
        "video": False,
        "files": False,
        "json_schema": False,
    }
    parts = ("text", "image_url")
    tool_types = ("function",)

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(replace(config, hosted=True))  # whatever the entry says
        self.root = self.root.removesuffix("/beta")
        for name in _IGNORED_THERE:
            self._chat_fields.pop(name, None)
            self._text_fields.pop(name, None)

    def endpoint(self, order: Order) -> str:
        """Returns the address; answers that the client has begun need the beta API."""
        if not order.chat:
            return self.root + "/beta/completions"
        beta = _PREFIX in order.body and takes_prefix(orjson.loads(order.body)["messages"])
        return self.root + ("/beta" if beta else "") + self.chat_path

    # Bodies ---------------------------------------------------------------------------------------
    def prepare(self, body: dict[str, Any], *, chat: bool) -> dict[str, Any]:
        if chat and body.get("continue_final_message") is True:  # prepared for vLLM
            *before, last = body["messages"]
            body["messages"] = [*before, {**last, "prefix": True}]
        body.pop("user", None)  # may name a person
        return super().prepare(body, chat=chat)

    def thinking(self, *, on: bool, budget: int | None) -> dict[str, Any]:
        return {"thinking": {"type": "enabled" if on else "disabled"}}

    def outgoing(self, order: Order) -> bytes:
        if not order.chat:
            return order.body
        return order.body[:-1] + b',"user_id":"%b"}' % user_id(order.tenant_id).encode()

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        return continued_body(order, text, tokens, _append)

    # Answers --------------------------------------------------------------------------------------
    @property
    def cache_is_private(self) -> bool:
        return True

    def tells_cache(self, order: Order) -> bool:
        return order.chat or self.config.private_cache

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        return with_details(await super().answer(session, order))

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        async with aclosing(super().events(session, order, turn)) as stream:
            async for events in stream:
                yield [with_details(event) if _HIT in event else event for event in events]

    def refusal(self, status: int, body: bytes) -> EngineFailed:
        """Treat its 400 for an unknown model name as 404: an operator configured the name."""
        if status == 400 and error_in(body).get("message") == "Model Not Exist":
            status = 404
        return super().refusal(status, body)

    # Health ---------------------------------------------------------------------------------------
    async def answers(self, session: EngineSession) -> bool:
        """Returns whether it responds and the balance suffices."""
        async with self._asking(session, self.root + "/user/balance") as response:
            if response.status in _OPERATORS or response.status >= 500:
                return False
            return response.status != 200 or await _is_available(response)


def _append(body: dict[str, Any], text: str) -> None:
    messages = body["messages"]
    append_to_answer(messages, text, open_ended=takes_prefix(messages))
    messages[-1]["prefix"] = True


async def _is_available(response: aiohttp.ClientResponse) -> bool:
    try:
        balance = orjson.loads(await report_in(response))
        return balance.get("is_available") is not False
    except (ValueError, AttributeError):
        return True


def user_id(tenant_id: UUID) -> str:
    """Returns a pseudonym, the same for all requests of a tenant, and meaningless to others."""
    text = b"deepseek user_id " + tenant_id.bytes
    return hmac.digest(settings.CACHE_SALT_KEY, text, sha256).hex()


def with_details(answer: bytes) -> bytes:
    """Copy DeepSeek's cache hits to OpenAI's field, `prompt_tokens_details.cached_tokens`."""
    if _DETAILS in answer:
        return answer
    return _HITS.sub(rb'\g<0>,"prompt_tokens_details":{"cached_tokens":\1}', answer)
