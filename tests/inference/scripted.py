"""An engine that says what it is told, and the places where a generation leaves its traces."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import msgspec
import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.keys.keyring import Cipher
from audit.trail.commit_queue import Row
from audit.trail.group_commit import GroupCommit
from inference.engines.base import Engine, EngineConfig, Turn, read_on
from inference.engines.transport.session import EngineSession
from inference.order import Order
from inference.record.outcome import Outcome
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Writer
from inference.worker.handlers.generation import Generation
from inference.worker.run.run import Run
from inference.worker.run.state import EarlierAttempts

NO_SESSION = cast(EngineSession, None)
Step = list[bytes] | bytes | float | Exception


class ScriptedEngine(Engine):
    """Plays `turns`, one for each time it is asked, the last one again and again.

    A turn is a list of steps: events that come at once, a pause in seconds, an exception. For a
    whole answer the first step is its body.
    """

    def __init__(
        self,
        *turns: list[Step],
        slots: int = 4,
        name: str = "mock",
        private_cache: bool = False,
    ) -> None:
        super().__init__(
            EngineConfig(
                name=name,
                kind="openai",
                url="http://127.0.0.1:9",
                model="theirs",
                slots=slots,
                private_cache=private_cache,
            )
        )
        self.turns = turns
        self.asked: list[Order] = []
        self.counted: list[Order] = []
        self.speaking = 0

    def _turn(self, order: Order) -> list[Step]:
        self.asked.append(order)
        return self.turns[min(len(self.asked), len(self.turns)) - 1]

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        self.speaking += 1
        try:
            for step in self._turn(order):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield [step] if isinstance(step, bytes) else step
        finally:
            self.speaking -= 1

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        self.speaking += 1
        try:
            for step in self._turn(order):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, bytes):
                    return step
            return b""
        finally:
            self.speaking -= 1

    async def count_prompt(self, session: EngineSession, order: Order) -> int:
        self.counted.append(order)
        return 42


class Traces:
    """What a generation did, in order: frames it put and rows it settled."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.frames: list[Frame] = []
        self.rows: list[Row] = []
        self.refuse: Exception | None = None
        self.settled_before = timedelta(0)  # by somebody else
        self.writer = cast(Writer, _Frames(self))
        self.ledger = cast(GroupCommit, _Rows(self))
        self.cipher = Cipher(uuid4(), AESGCM(AESGCM.generate_key(256)))

    async def of(
        self, engine: Engine, order: Order, attempt: int = 1, before: list[bytes] | None = None
    ) -> Outcome | None:
        return await self.run(generation(engine, order, attempt, before))

    async def run(self, run: Run) -> Outcome | None:
        return await run.work_and_settle(NO_SESSION, self.writer, self.ledger, self.cipher)

    @property
    def row(self) -> Row:
        (row,) = self.rows
        return row

    @property
    def last(self) -> Frame:
        """The final frame, which there is once, at the end."""
        assert [frame.final for frame in self.frames] == [False] * (len(self.frames) - 1) + [True]
        return self.frames[-1]

    @property
    def error(self) -> dict[str, Any]:
        assert self.last.kind == Kind.ERROR
        found: dict[str, Any] = orjson.loads(self.last.body)["error"]
        return found

    @property
    def events(self) -> list[bytes]:
        """All events that a reader of the stream got."""
        bodies = [frame.body for frame in self.frames if frame.kind in (Kind.EVENTS, Kind.END)]
        return b"".join(bodies).split(b"\n\n")[:-1]


class _Frames:
    def __init__(self, traces: Traces) -> None:
        self.traces = traces

    def put(self, order: Order, frame: Frame) -> None:
        self.traces.order.append(Kind(frame.kind).name.lower())
        self.traces.frames.append(frame)

    def turn(self, last: int, came: int, pace: object) -> None:
        """Nobody else speaks."""

    async def written(self, stream: bytes) -> None:
        """At once."""


class _Rows:
    def __init__(self, traces: Traces) -> None:
        self.traces = traces

    async def write(self, row: Row) -> datetime:
        await asyncio.sleep(0.01)
        if self.traces.refuse:
            raise self.traces.refuse
        self.traces.order.append("settled")
        self.traces.rows.append(row)
        return datetime.fromisoformat(row["at"]) - self.traces.settled_before


def generation(
    engine: Engine, order: Order, attempt: int = 1, before: list[bytes] | None = None
) -> Run:
    item = msgspec.structs.replace(order.item, attempt=attempt)
    run = Run(order, item, engine, EarlierAttempts(before or ()))
    run.handler = Generation(run)
    return run
