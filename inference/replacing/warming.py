"""Asks a new version a few short questions, before any request reaches it: is it what it should be?

The texts are ours and always the same. Nothing of it is a request of anybody: no record, no usage.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import orjson

from inference.engines.base import Engine, EngineAway, EngineFailed
from inference.engines.session import EngineSession
from inference.order import Order

log = logging.getLogger(__name__)
QUESTION = "Count from one to ten in words."
TOKENS = 16
ANSWER_WITHIN_S = 300.0  # a first answer may compile kernels
POLL_S, SLOW_POLL_S, SLOW_AFTER_S = 0.05, 0.25, 10.0
AGAIN_S = 0.25
_NOBODY = UUID(int=0)
_NAMED = ("vllm", "sglang")  # kinds that know which model they serve, and say so


class Unusable(Exception):
    """What an operator reads: the new version is not to be used."""


async def until_it_answers(engine: Engine, session: EngineSession) -> None:
    began = time.monotonic()
    while not await _answers(engine, session):
        slow = time.monotonic() - began > SLOW_AFTER_S
        await asyncio.sleep(SLOW_POLL_S if slow else POLL_S)


async def _answers(engine: Engine, session: EngineSession) -> bool:
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(5):
            return await engine.answers(session)
    return False


async def warm_up(engine: Engine, session: EngineSession, times: int) -> int:
    """Milliseconds that it took to answer. Raises Unusable."""
    took = 0.0
    for _ in range(times):
        began = time.monotonic()
        answer = await _answer(engine, session, chat=True)
        took += time.monotonic() - began
        _check(engine, answer)
    return round(1000 * took)


async def _answer(engine: Engine, session: EngineSession, *, chat: bool) -> bytes:
    """Waits while it still loads. One without a chat template is asked for text alone."""
    while True:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await engine.answer(session, _order(engine, chat=chat))
        except EngineAway:
            await asyncio.sleep(AGAIN_S)
        except EngineFailed as failure:
            if chat and failure.status in (400, 404):
                return await _answer(engine, session, chat=False)
            log.warning("%s: warming up: %s", engine.config.id, failure.cause)
            cause = engine.shown_cause(failure.cause)
            raise Unusable(f"warming up: {cause}{_own_words(engine, failure)}") from None
        except TimeoutError:
            raise Unusable(f"warming up: no answer within {ANSWER_WITHIN_S:g} s") from None


def _own_words(engine: Engine, failure: EngineFailed) -> str:
    """Returns an engine's own words about what it refused, where no operator chose its address."""
    return f": {failure.message}" if engine.config.from_file else ""


def _order(engine: Engine, *, chat: bool) -> Order:
    asked: dict[str, Any] = {"prompt": QUESTION}
    if chat:
        asked = {"messages": [{"role": "user", "content": QUESTION}]}
    body = engine.prepare({**asked, "max_tokens": TOKENS, "temperature": 0}, chat=chat)
    now = time.time()
    return Order(
        id=uuid4(),
        tenant_id=_NOBODY,
        subject_id=_NOBODY,
        actor="system:replacement",
        client_ip="",
        model=engine.config.name,
        route="",
        chat=chat,
        stream=False,
        include_usage=False,
        reply_to="",
        outlives_reader=False,
        body=orjson.dumps(body),
        created_at=now,
        deadline=now + ANSWER_WITHIN_S,
        estimate=TOKENS,
        weight=1,
    )


def _check(engine: Engine, answer: bytes) -> None:
    found = _read(answer)
    text = _text(found)
    if not text.strip():
        raise Unusable("warming up: it answered without a text")
    if _is_noise(text):
        raise Unusable("warming up: it answered with garbage")
    named, wanted = found.get("model"), engine.config.model
    if engine.config.kind in _NAMED and named and named != wanted:
        raise Unusable(f"warming up: it answered as the model {str(named)[:80]!r}")


def _read(answer: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Unusable("warming up: it sent no valid answer")
    return found


def _text(found: Mapping[str, Any]) -> str:
    """Reasoning counts: a short answer may hold nothing else."""
    try:
        choice = found["choices"][0]
        message = choice.get("message") or {"content": choice.get("text")}
        said = (message.get(name) for name in ("content", "reasoning_content", "reasoning"))
        return "".join(text for text in said if text)
    except (LookupError, TypeError, AttributeError):
        raise Unusable("warming up: it sent no valid answer") from None


def _is_noise(text: str) -> bool:
    """The same character all the time, as broken weights or kernels give, or no characters."""
    solid = "".join(text.split())
    return "\ufffd" in solid[: len(solid) // 2] or (len(solid) >= TOKENS and len(set(solid)) == 1)
