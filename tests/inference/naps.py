"""A class of work of the tests' own, with its handler: it sleeps, and counts how often.

`work` is a worker for a process that may be killed.
"""

import asyncio
import os
from typing import Any

import msgspec
import orjson
from django.conf import settings

from inference import classes
from inference.classes import WorkClass
from inference.engines.base import EngineFailed
from inference.engines.transport.session import EngineSession
from inference.order import Order
from inference.record.outcome import Outcome
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Writer
from inference.worker import handlers
from inference.worker.handlers.base import Handler
from inference.worker.runner import Runner
from tests.inference.orders import an_order
from tests.inference.scripted import ScriptedEngine

NAP = WorkClass("nap", handler="nap", deadline_s=3600, takes_slot=False)


class Nap(Handler):
    """Takes `naps`, and goes on sleeping before its attempt number `wakes`; then it may `fail`."""

    naps = 0

    async def work(self, session: EngineSession, writer: Writer) -> None:
        asked = orjson.loads(self.order.body)
        while self.naps < asked["naps"] or self.item.attempt < asked["wakes"]:
            await asyncio.sleep(0.005)
            self.naps += 1
        if asked["fail"] == "knowingly":
            raise EngineFailed(422, "sleepless", "it could not sleep")
        if asked["fail"]:
            raise ZeroDivisionError

    async def outcome(self, session: EngineSession, failure: EngineFailed | None) -> Outcome:
        return msgspec.structs.replace(
            self.run.ending(failure),
            completion_tokens=self.naps,
            text="zzz",
            response=b"zzz",
        )

    def last_frame(self) -> Frame:
        return self.output.frame(Kind.BODY, b'{"naps":%d}' % self.naps)


def a_nap(naps: int, *, wakes: int = 1, fail: str = "", **changes: Any) -> Order:
    body = orjson.dumps({"naps": naps, "wakes": wakes, "fail": fail})
    plain = {"klass": "nap", "stream": False, "body": body, "route": "naps"}
    return an_order(**{**plain, **changes})


def register() -> None:
    """Both places that a new class needs."""
    classes.CLASSES[NAP.name] = NAP
    handlers.HANDLERS["nap"] = Nap


def work(pool: str) -> None:
    """What a worker's process does."""
    settings.DATABASE_URL = os.environ["NAPS_DSN"]
    register()
    print("ready", flush=True)
    asyncio.run(Runner(pool, ScriptedEngine()).drain())
