"""SGLang's OpenAI-compatible server. `url` is its base, e.g. http://gpu-1:30000/v1."""

import contextlib
from typing import Any

import aiohttp
import orjson

from inference import classes
from inference.engines import load
from inference.engines.base import EngineFailed, EngineFull, error_in
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.kinds.unfinished_messages import OpenEndedEngine
from inference.engines.load import Load
from inference.engines.transport import bounded_reading
from inference.engines.transport.session import EngineSession
from inference.order import Order

PRIORITY_STEP = 10  # between classes; SGLang serves the higher number first
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_UNREADABLE = (aiohttp.ClientResponseError, LookupError, ValueError, TypeError, AttributeError)
_OPENAI_FIELDS = (
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


_CAPABILITY_FIELDS = {
    "text": "is_generation",
    "images": "has_image_understanding",
    "audio": "has_audio_understanding",
}


class SglangEngine(OpenEndedEngine):
    """Needs SGLang 0.5.3 or newer: older ones do not know `cache_salt`.

    It ignores unknown fields, so only its own are accepted. `stream_reasoning` is refused: with it,
    an answer that is cut would seem shorter than it was. So are `regex` and `ebnf`, as for vLLM:
    one that takes long to compile delays everybody.
    """

    product = "SGLang"
    own_fields = {name: OpenAIEngine.own_fields[name] for name in _OPENAI_FIELDS}
    can = {"files": False}
    tool_types = ("function",)
    alive_within_s = 25.0  # it allows itself 20

    def outgoing(self, order: Order) -> bytes:
        """Add the priority: where priorities count, a request without one comes last."""
        body = super().outgoing(order)
        if not self.config.priority_scheduling:
            return body
        return body[:-1] + b',"priority":%d}' % (-classes.rank(order.klass) * PRIORITY_STEP)

    def resumes_unchanged(self, order: Order) -> bool:
        """False with a repetition penalty: it counts only tokens that it has generated itself."""
        factor = orjson.loads(order.body).get("repetition_penalty")
        return factor in (None, 1) and super().resumes_unchanged(order)

    def refusal(self, status: int, body: bytes) -> EngineFailed:
        """Treat 503, in a stream too, as full: a full queue, or a higher priority took the slot.

        The engine works, so its breaker does not count it, and another engine may be tried.
        """
        if error_in(body).get("code") == 503:
            return EngineFull(hosted=self.config.hosted)
        return super().refusal(status, body)

    async def is_alive(self, session: EngineSession) -> bool:
        """Ask its /health, which waits for a token of any request.

        That takes a second at least, and as long as the prefill of long prompts, so it is no health
        check for every few seconds. Its list of models is none here: a frozen server returns it
        too.
        """
        async with self._http(session).get(
            self._root + "/health", headers=self.headers(), allow_redirects=False
        ) as response:
            return response.status < 500

    # What it says of itself -----------------------------------------------------------------------
    async def probe(self, session: EngineSession) -> bool:
        """Ask for its context, its model's capabilities, and with `auto_slots` for its slots."""
        try:
            with contextlib.suppress(*_UNREADABLE):
                self.learn_model(await self._ask(session, self.base + "/models"))
            if info := await self._first_answer(session, "/model_info", "/get_model_info"):
                self.learn(_capabilities(info))
            if self.config.auto_slots:
                with contextlib.suppress(*_UNREADABLE):
                    self.learn_slots(
                        _slots(
                            await self._first_answer(session, "/server_info", "/get_server_info")
                        )
                    )
        except (aiohttp.ClientConnectionError, TimeoutError):
            return False
        return True

    async def _first_answer(self, session: EngineSession, *paths: str) -> Any:
        """Returns the answer of the first path that exists: the second was its name until 2026."""
        for path in paths:
            with contextlib.suppress(*_UNREADABLE):
                return await self._ask(session, self._root + path)
        return None

    async def load(self, session: EngineSession) -> Load | None:
        """Returns its load, if it was started with --enable-metrics."""
        return await load.ask(self._http(session), self.metrics_url, self.headers(), load.SGLANG)

    @property
    def metrics_url(self) -> str:
        return self._root + "/metrics"

    @property
    def _root(self) -> str:
        """Returns the root, below which are the paths that are not OpenAI's."""
        return self.base.removesuffix("/v1")

    async def _ask(self, session: EngineSession, url: str) -> Any:
        async with self._http(session).get(
            url, headers=self.headers(), timeout=_TIMEOUT, allow_redirects=False
        ) as response:
            response.raise_for_status()
            return orjson.loads(await bounded_reading.whole(response))


def _slots(info: Any) -> int:
    """Returns how many requests all of its data-parallel ranks run together."""
    ranks = info["internal_states"]
    return sum(int(rank["effective_max_running_requests_per_dp"]) for rank in ranks)


def _capabilities(info: Any) -> dict[str, bool]:
    """Returns the capabilities that it reports. A model that does not generate may embed."""
    values = {name: info[field] for name, field in _CAPABILITY_FIELDS.items() if field in info}
    reported = {name: value for name, value in values.items() if isinstance(value, bool)}
    return reported | ({"embeddings": False} if reported.get("text") else {})
