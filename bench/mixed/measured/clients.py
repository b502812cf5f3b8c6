"""Clients who ask by the hour of a day: few at night, many in the afternoon."""

import asyncio
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp

from bench.servers.forebay import Forebay

QUIETEST, BUSIEST = 0.2, 1.8  # of the mean rate
TOKENS = 40
TIMEOUT_S = 300


@dataclass(slots=True)
class Answers:
    """Seconds from when a request was due until its first token, and until its last."""

    first_token_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    failed: int = 0


def due_times(seconds: float, per_second: float, seed: int) -> Iterator[float]:
    """Yields when requests are due, by a Poisson process whose rate has one peak in the middle."""
    chance, now = random.Random(seed), 0.0  # the same day each time
    most = per_second * BUSIEST
    while (now := now + chance.expovariate(most)) < seconds:
        swing = (1 - math.cos(2 * math.pi * now / seconds)) / 2
        rate = per_second * (QUIETEST + (BUSIEST - QUIETEST) * swing)
        if chance.random() < rate / most:
            yield now


async def ask_for_a_day(
    forebay: Forebay, model: str, seconds: float, per_second: float, seed: int
) -> Answers:
    answers, begin, asking = Answers(), time.perf_counter(), list[asyncio.Task[None]]()
    headers = {"Authorization": f"Bearer {forebay.key}"}
    timeout = aiohttp.ClientTimeout(TIMEOUT_S)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{forebay.port}", headers=headers, timeout=timeout
    ) as http:
        for number, due in enumerate(due_times(seconds, per_second, seed)):
            await asyncio.sleep(begin + due - time.perf_counter())
            asking.append(asyncio.create_task(_ask(http, model, number, begin + due, answers)))
        await asyncio.gather(*asking)
        await asyncio.sleep(begin + seconds - time.perf_counter())
    return answers


async def _ask(
    http: aiohttp.ClientSession, model: str, number: int, due: float, answers: Answers
) -> None:
    question = f"Order {number} has not come yet. Say in one sentence what the customer may do."
    body = {
        "model": model, "stream": True, "max_tokens": TOKENS,
        "messages": [{"role": "user", "content": question}],
    }  # fmt: skip
    try:
        async with http.post("/v1/chat/completions", json=body) as answer:
            answer.raise_for_status()
            first = await _first_token(answer)
            await answer.read()
    except (aiohttp.ClientError, TimeoutError, EOFError):
        answers.failed += 1
        return
    answers.first_token_s.append(first - due)
    answers.whole_s.append(time.perf_counter() - due)


async def _first_token(answer: aiohttp.ClientResponse) -> float:
    """Returns when it came. Raises EOFError if none comes."""
    async for line in answer.content:
        event = line.removeprefix(b"data: ").strip()
        if event.startswith(b"{") and _has_text(json.loads(event)):
            return time.perf_counter()
    raise EOFError


def _has_text(event: dict[str, list[dict[str, dict[str, str]]]]) -> bool:
    return any(choice["delta"].get("content") for choice in event.get("choices", ()))
