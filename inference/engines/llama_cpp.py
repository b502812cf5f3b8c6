"""llama.cpp's server, embedded or your own. `url` is its root, e.g. http://127.0.0.1:8080."""

from typing import Any

import aiohttp
import orjson

from inference.engines.base import Engine
from inference.order import Order


class LlamaCppEngine(Engine):
    chat_path = "/v1/chat/completions"
    text_path = "/v1/completions"

    async def count_prompt(self, session: aiohttp.ClientSession, order: Order) -> int:
        """Asks the engine's own tokenizer; its estimate stands in when that fails."""
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
        timeout = aiohttp.ClientTimeout(total=5)
        async with session.post(self.base + path, json=body, timeout=timeout) as response:
            return await response.json()
