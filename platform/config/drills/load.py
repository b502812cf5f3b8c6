"""Clients that ask without pause, each one request after the other, through the front doors.

Whoever does not know what became of a request, or got an error of the server's, asks it again under
the same name, as the SDKs do: front ends run one name once. Else one that was refused is over, and
the next has a name of its own.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import uuid4

from config.drills.attempts import Attempt, Outcome, answered

PAUSE_S = 0.05  # between two requests of a client
AGAIN_S = 0.25  # before the same request again
LONGEST_S = 90.0  # of a request
LAST_S = 60.0  # for those that are open at the end


class Refused(Exception):
    """The platform answered with an error.

    `began`: the request may have run nevertheless. `again`: the same request is asked again.
    """

    def __init__(self, text: str, *, began: bool = False, again: bool = False) -> None:
        super().__init__(text)
        self.began, self.again = began, again


class Door(Protocol):
    name: str
    size: int  # how many completions a call asks for

    async def ask(self, request: str) -> Sequence[str]:
        """Returns the ids of answered requests. Raises Refused, or what broke it off.

        A call with the same name asks for the same request.
        """

    async def close(self) -> None: ...


class Load:
    def __init__(self, doors: Sequence[Door], clients: int) -> None:
        self._doors, self._clients = doors, clients
        self.attempts: list[Attempt] = []
        self._over = asyncio.Event()

    def answers(self, since: float = 0.0) -> int:
        return sum(1 for each in answered(self.attempts) if each.ended > since)

    def silent_doors(self, since: float) -> list[str]:
        """Returns the front doors at which nobody has got an answer since then."""
        doors = {each.door for each in answered(self.attempts) if each.ended > since}
        return [door.name for door in self._doors if door.name not in doors]

    async def _client(self, door: Door, name: str) -> None:
        while not self._over.is_set():
            request = str(uuid4())
            await self._until_known(door, name, request)
            await asyncio.sleep(PAUSE_S)

    async def _until_known(self, door: Door, client: str, request: str) -> None:
        is_done = await self._attempt(door, client, request)
        while not is_done:
            await asyncio.sleep(AGAIN_S)
            is_done = await self._attempt(door, client, request)

    async def _attempt(self, door: Door, client: str, request: str) -> bool:
        """Returns whether the client is done with the request."""
        began, ids = time.time(), tuple[str, ...]()
        outcome, detail = Outcome.UNKNOWN, "no answer until the end"
        is_done, may_have_run = False, True
        try:
            async with asyncio.timeout(LONGEST_S):
                ids = tuple(await door.ask(request))
            outcome, detail, is_done = Outcome.ANSWERED, "", True
        except Refused as refusal:
            outcome, detail = Outcome.REFUSED, str(refusal)
            is_done, may_have_run = not refusal.again, refusal.began
        except Exception as problem:  # whatever broke it off, the next attempt tells
            detail = f"{type(problem).__name__}: {problem}"[:200]
        finally:  # also if it is cancelled because its answer never comes
            heard = (outcome, ids, detail, request, door.size, may_have_run)
            self.attempts.append(Attempt(door.name, client, began, time.time(), *heard))
        return is_done

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Has clients ask inside the block; then lets open requests end."""
        tasks = [
            asyncio.create_task(self._client(door, f"{door.name} {number}"))
            for door in self._doors
            for number in range(self._clients)
        ]
        try:
            yield
        finally:
            self._over.set()
            _done, late = await asyncio.wait(tasks, timeout=LAST_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for door in self._doors:
                with contextlib.suppress(Exception):
                    await door.close()
