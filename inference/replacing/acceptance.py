"""Tests a new version with a few short prompts, before any request reaches it.

The prompts are always the same texts of the platform. They are no requests: without record and
usage.
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

from inference.codec.vectors import UnreadableVectors, embeddings_in, scores_in
from inference.engines import capabilities
from inference.engines.base import Engine, EngineAway, EngineFailed
from inference.engines.transport.session import EngineSession
from inference.order import EMBED, RERANK, Order

log = logging.getLogger(__name__)
QUESTION = "Count from one to ten in words."
TOKENS = 16
ANSWER_WITHIN_S = 300.0  # a first answer may compile kernels
POLL_S, SLOW_POLL_S, SLOW_AFTER_S = 0.05, 0.25, 10.0
AGAIN_S = 0.25
_NOBODY = UUID(int=0)
_PROBES = 5  # of what a new engine is for
_QUESTIONS: dict[str, dict[str, Any]] = {
    EMBED: {"input": [QUESTION], "encoding_format": "base64"},
    RERANK: {"query": QUESTION, "documents": [QUESTION]},
}
_NAMED = ("vllm", "sglang")  # kinds that report the model they serve


class Unusable(Exception):
    """The reason, for an operator, why the new version is not used."""


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
    """Returns the milliseconds that it took to answer. Raises Unusable."""
    took, task = 0.0, await _task_of(engine, session)
    for _ in range(times):
        began = time.monotonic()
        answer = await _answer(engine, session, chat=not task, task=task)
        took += time.monotonic() - began
        if task:
            _check_vectors(answer, task)
        else:
            _check(engine, answer)
    return round(1000 * took)


async def _task_of(engine: Engine, session: EngineSession) -> str:
    """Returns what an engine without texts is for; "" for one with texts."""
    for _ in range(_PROBES):
        if await engine.probe(session):
            break
        await asyncio.sleep(AGAIN_S)
    can = engine.capabilities
    if can.text:
        return ""
    return EMBED if can.embeddings else RERANK


async def _answer(engine: Engine, session: EngineSession, *, chat: bool, task: str = "") -> bytes:
    """Wait while it is loading. An engine without a chat template gets a plain text."""
    while True:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await engine.answer(session, _order(engine, chat=chat, task=task))
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
    """Returns an engine's own words for a refusal, unless an operator chose its address."""
    return f": {failure.message}" if engine.config.from_file else ""


def _order(engine: Engine, *, chat: bool, task: str) -> Order:
    prompt: dict[str, Any] = {"prompt": QUESTION}
    if chat:
        prompt = {"messages": [{"role": "user", "content": QUESTION}]}
    if task:
        body = engine.prepare_task(_QUESTIONS[task], task)
    else:
        body = engine.prepare({**prompt, "max_tokens": TOKENS, "temperature": 0}, chat=chat)
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
        task=task,
    )


def _check_vectors(answer: bytes, task: str) -> None:
    try:
        if task == EMBED:
            embeddings_in(answer, 1)
        else:
            scores_in(answer, 1)
    except UnreadableVectors as problem:
        raise Unusable(f"warming up: {problem}") from None


def _check(engine: Engine, answer: bytes) -> None:
    completion = _read(answer)
    text = _text(completion)
    if not text.strip():
        raise Unusable("warming up: it answered without a text")
    if _is_noise(text):
        raise Unusable("warming up: it answered with garbage")
    model, expected = completion.get("model"), engine.config.model
    if engine.config.kind in _NAMED and model and model != expected:
        raise Unusable(f"warming up: it answered as the model {str(model)[:80]!r}")


def _read(answer: bytes) -> Mapping[str, Any]:
    try:
        completion = orjson.loads(answer)
    except orjson.JSONDecodeError:
        completion = None
    if not isinstance(completion, dict):
        raise Unusable("warming up: it sent no valid answer")
    return completion


def _text(completion: Mapping[str, Any]) -> str:
    """Returns the text with the reasoning: a short answer may have nothing else."""
    try:
        choice = completion["choices"][0]
        message = choice.get("message") or {"content": choice.get("text")}
        texts = (message.get(name) for name in ("content", "reasoning_content", "reasoning"))
        return "".join(text for text in texts if text)
    except (LookupError, TypeError, AttributeError):
        raise Unusable("warming up: it sent no valid answer") from None


def _is_noise(text: str) -> bool:
    """Returns whether it is one repeated character, as of broken weights, or no characters."""
    solid = "".join(text.split())
    return "\ufffd" in solid[: len(solid) // 2] or (len(solid) >= TOKENS and len(set(solid)) == 1)


async def missing_capabilities(old: Engine, new: Engine, session: EngineSession) -> list[str]:
    """Returns what the new one lacks, as the engines report, else as they are declared."""
    for engine in (old, new):
        await engine.probe(session)
    losses = []
    if new.context_length < old.context_length:
        losses.append(f"{new.context_length} tokens of context instead of {old.context_length}")
    if new.config.hosted and not old.config.hosted:
        losses.append("nothing that may not leave this installation")
    missing = [n for n in capabilities.NAMES if old.known.get(n) and not _takes(new, n)]
    return losses + [f"no {name}" for name in missing]


def _takes(engine: Engine, name: str) -> bool:
    return bool(getattr(engine.capabilities, name))
