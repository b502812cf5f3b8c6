"""llama.cpp's server, embedded or your own. `url` is its root, e.g. http://127.0.0.1:8080."""

from typing import Any

import aiohttp
import orjson

from inference.engines.base import Engine
from inference.engines.fields import BOOL, integer, number, one_of
from inference.order import Order

# An answer under one of these cannot be taken up in the middle by its text alone.
_NOT_BY_TEXT = ("tools", "response_format", "logprobs")


class LlamaCppEngine(Engine):
    chat_path = "/v1/chat/completions"
    text_path = "/v1/completions"
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

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        """An answer that ends with the assistant is gone on with; only what is new comes back."""
        body = orjson.loads(order.body)
        if not order.chat or any(body.get(name) for name in _NOT_BY_TEXT):
            return None
        if body["messages"][-1]["role"] == "assistant":
            return None
        body["messages"].append({"role": "assistant", "content": text})
        if body.get("max_tokens"):
            body["max_tokens"] = max(1, body["max_tokens"] - tokens)
        return orjson.dumps(body)

    async def count_prompt(self, session: aiohttp.ClientSession, order: Order) -> int:
        """Asks the engine's own tokenizer; the estimate stands in when that fails."""
        try:
            prompt = await self._prompt(session, order)
            found = await self._ask(session, "/tokenize", {"content": prompt, "add_special": True})
            return len(found["tokens"])
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError):
            return await super().count_prompt(session, order)

    async def _prompt(self, session: aiohttp.ClientSession, order: Order) -> str:
        body = orjson.loads(order.body)
        if not order.chat:
            return str(body["prompt"])
        rendered = await self._ask(session, "/apply-template", {"messages": body["messages"]})
        return str(rendered["prompt"])

    async def _ask(self, session: aiohttp.ClientSession, path: str, body: Any) -> Any:
        async with session.post(
            self.base + path,
            json=body,
            headers=self.headers(),
            timeout=aiohttp.ClientTimeout(total=5),
        ) as response:
            return await response.json()
