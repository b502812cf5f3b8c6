"""SGLang's OpenAI-compatible server. `url` is its base, e.g. http://gpu-1:30000/v1."""

import contextlib
from typing import Any

import aiohttp
import orjson

from inference.engines import load, reading
from inference.engines.load import Load
from inference.engines.salted import SaltedEngine
from inference.engines.session import EngineSession

_TIMEOUT = aiohttp.ClientTimeout(total=5)
_UNREADABLE = (aiohttp.ClientResponseError, LookupError, ValueError, TypeError, AttributeError)


class SglangEngine(SaltedEngine):
    """Needs SGLang 0.5.3 or newer: older ones do not know `cache_salt`."""

    async def probe(self, session: EngineSession) -> bool:
        if not self.config.auto_slots:
            return True
        try:
            for path in ("/server_info", "/get_server_info"):  # its name until 2026
                with contextlib.suppress(*_UNREADABLE):
                    self.learn_slots(_slots(await self._ask(session, path)))
                    break
        except (aiohttp.ClientConnectionError, TimeoutError):
            return False
        return True

    async def load(self, session: EngineSession) -> Load | None:
        """Of one that was started with --enable-metrics."""
        return await load.ask(session, self._root + "/metrics", self.headers(), load.SGLANG)

    @property
    def _root(self) -> str:
        """What is not OpenAI's API is beside it."""
        return self.base.removesuffix("/v1")

    async def _ask(self, session: EngineSession, path: str) -> Any:
        async with session.http.get(
            self._root + path,
            headers=self.headers(),
            timeout=_TIMEOUT,
            allow_redirects=False,
        ) as response:
            response.raise_for_status()
            return orjson.loads(await reading.whole(response))


def _slots(told: Any) -> int:
    """Requests that all of its data-parallel ranks run at once."""
    ranks = told["internal_states"]
    return sum(int(rank["effective_max_running_requests_per_dp"]) for rank in ranks)
