"""SGLang's OpenAI-compatible server. `url` is its base, e.g. http://gpu-1:30000/v1."""

import contextlib
from typing import Any

import aiohttp
import orjson

from inference import classes
from inference.engines import load, reading
from inference.engines.base import EngineFailed, EngineFull, error_in
from inference.engines.load import Load
from inference.engines.open_ended import OpenEndedEngine
from inference.engines.openai import OpenAIEngine
from inference.engines.session import EngineSession
from inference.order import Order

PRIORITY_STEP = 10  # between classes; SGLang serves the higher number first
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_UNREADABLE = (aiohttp.ClientResponseError, LookupError, ValueError, TypeError, AttributeError)
_TAKEN = (
    "top_k",
    "min_p",
    "repetition_penalty",
    "min_tokens",
    "stop_token_ids",
    "ignore_eos",
    "skip_special_tokens",
    "continue_final_message",
    "separate_reasoning",
)


_SAYS = {
    "text": "is_generation",
    "images": "has_image_understanding",
    "audio": "has_audio_understanding",
}


class SglangEngine(OpenEndedEngine):
    """Needs SGLang 0.5.3 or newer: older ones do not know `cache_salt`.

    What it does not know it ignores, so of others' fields only those are taken that it has.
    `stream_reasoning` stays outside: it would let an answer that is cut seem shorter than it was.
    So do `regex` and `ebnf`, as for vLLM: one that takes long to compile holds up everybody.
    """

    product = "SGLang"
    own_fields = {name: OpenAIEngine.own_fields[name] for name in _TAKEN}
    can = {"files": False}
    tool_types = ("function",)
    gets_on_within_s = 25.0  # it gives itself 20

    def outgoing(self, order: Order) -> bytes:
        """With priorities in force, a request without one would come last."""
        body = super().outgoing(order)
        if not self.config.priority_scheduling:
            return body
        return body[:-1] + b',"priority":%d}' % (-classes.rank(order.klass) * PRIORITY_STEP)

    def keeps_course(self, order: Order) -> bool:
        """It counts repetitions in what it has generated itself, not in what it reads."""
        factor = orjson.loads(order.body).get("repetition_penalty")
        return factor in (None, 1) and super().keeps_course(order)

    def refusal(self, status: int, body: bytes) -> EngineFailed:
        """503 by itself, in a stream too: its queue is full, or a higher priority took the place.

        Another engine may do, and this one works: its breaker counts none of that.
        """
        if error_in(body).get("code") == 503:
            return EngineFull(hosted=self.config.hosted)
        return super().refusal(status, body)

    async def gets_on(self, session: EngineSession) -> bool:
        """Its /health waits for a token, of whatever request: a second at least, and through the
        reading of long prompts. So it is no sign of who is there, as its list of models is, which
        comes from a frozen one too.
        """
        async with self._http(session).get(
            self._root + "/health", headers=self.headers(), allow_redirects=False
        ) as response:
            return response.status < 500

    # What it says of itself -----------------------------------------------------------------------
    async def probe(self, session: EngineSession) -> bool:
        """Asks what its model is, for its context, and where that counts for its slots."""
        try:
            with contextlib.suppress(*_UNREADABLE):
                self.learn_model(await self._ask(session, self.base + "/models"))
            if said := await self._said(session, "/model_info", "/get_model_info"):
                self.learn(_can(said))
            if self.config.auto_slots:
                with contextlib.suppress(*_UNREADABLE):
                    self.learn_slots(
                        _slots(await self._said(session, "/server_info", "/get_server_info"))
                    )
        except (aiohttp.ClientConnectionError, TimeoutError):
            return False
        return True

    async def _said(self, session: EngineSession, *paths: str) -> Any:
        """By the first of the paths that there is: the second was its name until 2026."""
        for path in paths:
            with contextlib.suppress(*_UNREADABLE):
                return await self._ask(session, self._root + path)
        return None

    async def load(self, session: EngineSession) -> Load | None:
        """Of one that was started with --enable-metrics."""
        return await load.ask(self._http(session), self.metrics_url, self.headers(), load.SGLANG)

    @property
    def metrics_url(self) -> str:
        return self._root + "/metrics"

    @property
    def _root(self) -> str:
        """What is not OpenAI's API is beside it."""
        return self.base.removesuffix("/v1")

    async def _ask(self, session: EngineSession, url: str) -> Any:
        async with self._http(session).get(
            url, headers=self.headers(), timeout=_TIMEOUT, allow_redirects=False
        ) as response:
            response.raise_for_status()
            return orjson.loads(await reading.whole(response))


def _slots(told: Any) -> int:
    """Requests that all of its data-parallel ranks run at once."""
    ranks = told["internal_states"]
    return sum(int(rank["effective_max_running_requests_per_dp"]) for rank in ranks)


def _can(told: Any) -> dict[str, bool]:
    """What it says that its model is. Of one that does not generate: embeddings, or scores."""
    found = {name: told[theirs] for name, theirs in _SAYS.items() if theirs in told}
    known = {name: said for name, said in found.items() if isinstance(said, bool)}
    return known | ({"embeddings": False} if known.get("text") else {})
