"""SGLang's OpenAI-compatible server. `url` is its base, e.g. http://gpu-1:30000/v1."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from inference import classes
from inference.engines import load
from inference.engines.base import UNREADABLE, EngineFailed, EngineFull, error_in
from inference.engines.kinds.open_ended import OpenEndedEngine
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.transport.session import EngineSession
from inference.order import Order

PRIORITY_STEP = 10  # between classes; SGLang serves the higher number first
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
    makes_choices = True
    tokenizes = frozenset({"text"})
    own_fields = {name: OpenAIEngine.own_fields[name] for name in _OPENAI_FIELDS}
    metrics = load.SGLANG  # if it was started with --enable-metrics
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

    async def tokens_of(
        self, session: EngineSession, body: dict[str, Any], *, chat: bool, special: bool
    ) -> list[int]:
        question = {"model": self.config.model, "prompt": body["prompt"]}
        question["add_special_tokens"] = special
        answer = await self._report(session, self.root + "/tokenize", question)
        return list(map(int, answer["tokens"]))

    async def text_of(self, session: EngineSession, tokens: list[int]) -> str:
        return await self.detokenized(session, tokens, "text", skip_special_tokens=False)

    async def is_alive(self, session: EngineSession) -> bool:
        """Ask its /health, which waits for a token of any request.

        That takes a second at least, and as long as the prefill of long prompts, so it is no health
        check for every few seconds. Its list of models is none here: a frozen server returns it
        too.
        """
        return await self._responds(session, self.root + "/health")

    # What it says of itself -----------------------------------------------------------------------
    def questions(self) -> tuple[Callable[[EngineSession], Awaitable[None]], ...]:
        slots = (self._learn_slots,) if self.config.auto_slots else ()
        return (self._learn_capabilities, *slots)

    async def _learn_capabilities(self, session: EngineSession) -> None:
        """Learn the capabilities that it reports. A model that does not generate may embed."""
        info = await self._first_answer(session, "/model_info", "/get_model_info")
        values = {name: info[field] for name, field in _CAPABILITY_FIELDS.items() if field in info}
        reported = {name: value for name, value in values.items() if isinstance(value, bool)}
        self.learn(reported | ({"embeddings": False} if reported.get("text") else {}))

    async def _learn_slots(self, session: EngineSession) -> None:
        """Learn how many requests all of its data-parallel ranks run together."""
        info = await self._first_answer(session, "/server_info", "/get_server_info")
        ranks = info["internal_states"]
        self.learn_slots(sum(int(rank["effective_max_running_requests_per_dp"]) for rank in ranks))

    async def _first_answer(self, session: EngineSession, *paths: str) -> Any:
        """Returns the answer of the first path that exists: the second was its name until 2026."""
        for path in paths:
            with contextlib.suppress(*UNREADABLE):
                return await self._report(session, self.root + path)
        return None
