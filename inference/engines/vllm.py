"""vLLM's OpenAI-compatible server. `url` is its base, e.g. http://gpu-1:8000/v1."""

import contextlib
from functools import partial
from typing import Any

import aiohttp
import orjson

from inference.engines.prompt_bound import counted_template
from inference.engines.salted import SaltedEngine
from inference.engines.session import EngineSession


class VllmEngine(SaltedEngine):
    """Needs vLLM 0.9 or newer: older ones do not know `cache_salt`."""

    async def probe(self, session: EngineSession) -> bool:
        """It counts the tokens of a chat; of its model it says nothing that we could use."""
        with contextlib.suppress(aiohttp.ClientResponseError, LookupError, ValueError, TypeError):
            try:
                count = partial(self._count, session)
                self.learn_template(await counted_template(count, tools=self.capabilities.tools))
            except (aiohttp.ClientConnectionError, TimeoutError):
                return False
        return True

    async def _count(self, session: EngineSession, chat: dict[str, Any]) -> int:
        async with session.http.post(
            self.base.removesuffix("/v1") + "/tokenize",
            json={"model": self.config.model, "add_generation_prompt": True, **chat},
            headers=self.headers(),
        ) as response:
            response.raise_for_status()
            return int(orjson.loads(await response.read())["count"])
