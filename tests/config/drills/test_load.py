"""The clients of a drill: what they ask again, and what they note of it."""

import asyncio
from collections.abc import Sequence

import pytest

from config.drills import load
from config.drills.attempts import Outcome
from config.drills.load import Load, Refused

pytestmark = pytest.mark.unit


class ScriptedDoor:
    """It does what its script says, one call after the other, and then answers."""

    name, size = "rest", 1

    def __init__(self, *script: Exception) -> None:
        self._script = list(script)
        self.requests: list[str] = []

    async def ask(self, request: str) -> Sequence[str]:
        self.requests.append(request)
        await asyncio.sleep(0.001)
        if self._script:
            raise self._script.pop(0)
        return [request]

    async def close(self) -> None:
        pass


async def answered_once(door: ScriptedDoor) -> Load:
    asking = Load([door], 1)
    async with asking.running():
        async with asyncio.timeout(30):
            while not asking.answers():
                await asyncio.sleep(0.01)
    return asking


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "AGAIN_S", 0.001)


@pytest.mark.parametrize(
    "failure", [ConnectionError("reset"), Refused("503", began=True, again=True)]
)
async def test_a_client_asks_for_the_same_request_until_it_knows_its_answer(
    failure: Exception,
) -> None:
    door = ScriptedDoor(failure, failure)
    asking = await answered_once(door)
    assert len(set(door.requests[:3])) == 1
    assert {each.request for each in asking.attempts[:3]} == {door.requests[0]}
    assert all(each.may_have_run for each in asking.attempts)


async def test_a_request_that_was_refused_is_over() -> None:
    door = ScriptedDoor(Refused("429"))
    asking = await answered_once(door)
    assert door.requests[0] != door.requests[1]
    assert (asking.attempts[0].outcome, asking.attempts[0].may_have_run) == (Outcome.REFUSED, False)


class NeverDoor(ScriptedDoor):
    async def ask(self, request: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return []


async def test_a_request_that_never_ends_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "LAST_S", 0.05)
    asking = Load([NeverDoor()], 1)
    async with asking.running():
        await asyncio.sleep(0.01)
    (attempt,) = asking.attempts
    assert (attempt.outcome, attempt.detail) == (Outcome.UNKNOWN, "no answer until the end")
