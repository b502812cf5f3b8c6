"""Calls that are submitted close together go on together, and few of them do not wait."""

import asyncio
from contextlib import suppress

import pytest

from inference.api.grpc import gathering
from inference.api.grpc.gathering import FEW, Gathering

pytestmark = pytest.mark.unit


class Calls:
    """Calls that are submitted until `over` is set. `begun`: the loop's turns of their begins."""

    def __init__(self) -> None:
        self.gathering, self.over = Gathering(), asyncio.Event()
        self.begun: list[int] = []
        self.turn = 0
        self._counting = asyncio.create_task(self._count())

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turn += 1

    async def _call(self) -> None:
        async with self.gathering.submitting():
            self.begun.append(self.turn)
            await self.over.wait()

    async def come(self, number: int) -> list[asyncio.Task[None]]:
        """Begin calls, each in a turn of its own as gRPC does."""
        tasks = []
        for _ in range(number):
            tasks.append(asyncio.create_task(self._call()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return tasks

    async def end(self, tasks: list[asyncio.Task[None]]) -> None:
        self.over.set()
        self._counting.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def test_a_few_calls_are_submitted_as_they_come() -> None:
    calls = Calls()
    tasks = await calls.come(FEW)
    assert len(calls.begun) == FEW
    await calls.end(tasks)


async def test_further_calls_go_on_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(gathering, "WAIT_OF_EACH_S", 0.05)
    calls = Calls()
    tasks = await calls.come(FEW + 6)
    assert len(calls.begun) == FEW
    await asyncio.sleep(0.2)
    assert len(calls.begun) == FEW + 6
    assert len(set(calls.begun[FEW:])) == 1
    await calls.end(tasks)


async def test_a_call_whose_client_goes_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "WAIT_OF_EACH_S", 0.01)
    calls = Calls()
    tasks = await calls.come(FEW + 3)
    tasks[FEW].cancel()
    await asyncio.sleep(0.2)
    assert len(calls.begun) == FEW + 2
    await calls.end(tasks)
    again = await calls.come(FEW)  # nobody is counted any more
    assert len(calls.begun) == 2 * FEW + 2
    await asyncio.gather(*again)


async def test_nobody_waits_longer_than_the_longest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "WAIT_OF_EACH_S", 60.0)
    calls = Calls()
    tasks = await calls.come(FEW + 1)
    async with asyncio.timeout(30):
        while len(calls.begun) <= FEW:
            await asyncio.sleep(0.001)
    await calls.end(tasks)
