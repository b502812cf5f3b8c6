"""Measures an engine under a steady load: energy, tokens and times."""

import asyncio
import math
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import msgspec
import orjson

from inference.engines.base import Engine
from inference.engines.transport.session import EngineSession
from inference.order import Order

_NOBODY = UUID(int=0)
_LONGEST_S = 600.0
_WORD = "water "  # about a token


class Load(msgspec.Struct, frozen=True):
    """`requests` at once, one after the other, each with so many tokens, for some seconds."""

    requests: int
    seconds: float
    prompt_tokens: int
    answer_tokens: int


class Measured(msgspec.Struct, frozen=True):
    tokens: int
    seconds: float
    millijoules: int
    answer_p99_ms: float
    first_token_p99_ms: float


class NothingMeasured(Exception):
    """No answer came, or the energy counter stood still."""


async def measure(engine: Engine, load: Load, millijoules: Callable[[], int]) -> Measured:
    """Returns what the engine did and used, after a first answer of each client, which is not
    measured: an engine may compile for a new batch.

    Raises NothingMeasured, EngineFailed, GpuError, TimeoutError.
    """
    async with EngineSession() as session:
        await _Clients(engine, session, load).ask_for(0)
        clients = _Clients(engine, session, load)
        began, energy = time.monotonic(), await asyncio.to_thread(millijoules)
        await clients.ask_for(load.seconds)
        used = await asyncio.to_thread(millijoules) - energy
    seconds, tokens = time.monotonic() - began, clients.tokens
    if not tokens or used <= 0:
        raise NothingMeasured(f"{tokens} tokens and {used} mJ in {seconds:.0f} s")
    slowest = _p99(clients.answer_s), _p99(clients.first_token_s)
    return Measured(tokens, seconds, used, slowest[0] * 1000, slowest[1] * 1000)


class _Clients:
    def __init__(self, engine: Engine, session: EngineSession, load: Load) -> None:
        self._engine, self._session, self._load = engine, session, load
        self.tokens = 0
        self.answer_s: list[float] = []
        self.first_token_s: list[float] = []

    async def ask_for(self, seconds: float) -> None:
        """Ask with all clients, each once at least. An answer that has begun comes to its end."""
        until = time.monotonic() + seconds
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._load.requests):
                    group.create_task(self._ask_until(until))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _ask_until(self, until: float) -> None:
        await self._ask()
        while time.monotonic() < until:
            await self._ask()

    async def _ask(self) -> None:
        began, first, counted = time.monotonic(), 0.0, 0
        order = _order(self._engine, self._load)
        pieces = 0
        async with asyncio.timeout(_LONGEST_S):
            async for events in self._engine.events(self._session, order):
                pieces += len(events)
                first = first or time.monotonic()
                counted = max(counted, *map(_counted_tokens, events))
        ended = time.monotonic()
        self.tokens += counted or pieces
        self.answer_s.append(ended - began)
        self.first_token_s.append((first or ended) - began)


def _counted_tokens(event: bytes) -> int:
    """Returns the tokens of the answer, by the engine's own count in its last event; else 0."""
    if b'"usage"' not in event:
        return 0
    try:
        return int(orjson.loads(event.removeprefix(b"data:"))["usage"]["completion_tokens"])
    except (ValueError, LookupError, TypeError):
        return 0


def _p99(seconds: list[float]) -> float:
    ordered = sorted(seconds)
    return ordered[math.ceil(0.99 * len(ordered)) - 1]


def _order(engine: Engine, load: Load) -> Order:
    """Returns a request that no prefix cache knows."""
    question = f"{uuid4()} {_WORD * load.prompt_tokens}"
    body = {
        "messages": [{"role": "user", "content": question}],
        "max_tokens": load.answer_tokens,
        "temperature": 0,
        "stream": True,
        "ignore_eos": True,
    }
    now = time.time()
    return Order(
        id=uuid4(),
        tenant_id=_NOBODY,
        subject_id=_NOBODY,
        actor="system:energy",
        client_ip="",
        model=engine.config.name,
        route="",
        chat=True,
        stream=True,
        include_usage=True,
        reply_to="",
        outlives_reader=False,
        body=orjson.dumps(engine.prepare(body, chat=True)),
        created_at=now,
        deadline=now + _LONGEST_S,
        estimate=load.answer_tokens,
        weight=1,
    )
