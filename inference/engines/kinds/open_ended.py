"""What vLLM and SGLang have in common: a cache with a salt, and `continue_final_message`.

They share a prefix cache among requests with the same `cache_salt`. Each tenant has its own secret
salt: with a salt that can be guessed, or none, the time to the first token reveals whether another
tenant has sent the same beginning (CVE-2025-46570; vLLM's documentation, "Security").
"""

import contextlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any, ClassVar
from uuid import UUID

import aiohttp
from django.conf import settings

from inference.engines.base import UNREADABLE, BadToken
from inference.engines.continuation import append_to_answer, continued_body, takes_prefix
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.transport.session import EngineSession
from inference.order import Order

log = logging.getLogger(__name__)


class OpenEndedEngine(OpenAIEngine):
    """Resumes an answer by its text. `product` is the server's name in the log."""

    product: ClassVar[str]
    can = {"files": False}
    tool_types = ("function",)

    @property
    def cache_is_private(self) -> bool:
        return True

    def outgoing(self, order: Order) -> bytes:
        own = salt(order.tenant_id, order.adapter.version if order.adapter else None)
        return order.body[:-1] + b',"cache_salt":"%b"}' % own.encode()

    def prepare(self, body: dict[str, Any], *, chat: bool) -> dict[str, Any]:
        if chat and takes_prefix(body.get("messages") or []):
            *before, last = body["messages"]
            body["messages"] = [*before, {k: v for k, v in last.items() if k != "prefix"}]
            self.open_ended(body)
        return super().prepare(body, chat=chat)

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        return continued_body(order, text, tokens, self._append)

    def _append(self, body: dict[str, Any], text: str) -> None:
        is_open = bool(body.get("continue_final_message"))
        append_to_answer(body["messages"], text, open_ended=is_open)
        self.open_ended(body)

    def open_ended(self, body: dict[str, Any]) -> None:
        """Ask the server to continue the last message and to return only the new part."""
        body["continue_final_message"] = True

    async def detokenized(
        self, session: EngineSession, tokens: list[int], field: str, **more: Any
    ) -> str:
        """Returns the text of tokens, which is in a `field` of the answer. Raises BadToken."""
        body = {"model": self.config.model, "tokens": tokens, **more}
        try:
            return str((await self._report(session, self.root + "/detokenize", body))[field])
        except aiohttp.ClientResponseError as problem:
            if problem.status in (400, 422):
                raise BadToken from None
            raise

    # What it says of itself -----------------------------------------------------------------------
    async def probe(self, session: EngineSession) -> bool:
        """Ask all questions. One without a readable answer teaches nothing."""
        try:
            for learn in (self._learn_model, *self.questions()):
                with contextlib.suppress(*UNREADABLE):
                    await learn(session)
        except (aiohttp.ClientConnectionError, TimeoutError):
            return False
        return True

    def questions(self) -> tuple[Callable[[EngineSession], Awaitable[None]], ...]:
        """Returns what `probe` asks beside the model's context."""
        raise NotImplementedError

    async def _learn_model(self, session: EngineSession) -> None:
        """Learn the context length from its list of models. A LoRA adapter has its parent's."""
        listed = await self._report(session, self.base + "/models")
        served = {each["id"]: each for each in listed["data"]}
        if (model := served.get(self.config.model)) is None:
            names = self.product, self.config.model, ", ".join(sorted(served))
            log.warning("%s: %s has no model %s, but %s", self.config.id, *names)
            return
        parent = served.get(model.get("parent")) or {}
        if longest := model.get("max_model_len") or parent.get("max_model_len"):
            self.learn_context(int(longest))


def salt(tenant_id: UUID, adapter: UUID | None = None) -> str:
    """Returns 256 bits in hex, the same on every worker and after every restart.

    Each version of an adapter has its own.
    """
    owner = tenant_id.bytes + (adapter.bytes if adapter else b"")
    return hmac.digest(settings.CACHE_SALT_KEY, owner, sha256).hex()
