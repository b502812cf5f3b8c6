"""Long work of the tests' own: it counts in steps, and writes down each that it begins."""

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson

from inference import classes
from inference.classes import WorkClass
from inference.engines.base import EngineFailed
from inference.engines.transport.session import EngineSession
from inference.order import Order
from inference.record.work_units import WorkUnits
from inference.worker import handlers
from inference.worker.handlers.stepwise import StepwiseHandler
from tests.inference.orders import an_order

COUNT = WorkClass(
    "count",
    handler="count",
    deadline_s=6 * 3600,
    takes_slot=False,
    preemptible=True,
    checkpoints=True,
)
GPU_MS = 1_500  # of each step
DIARY = "FOREBAY_TEST_COUNT_DIARY"  # a file; without it, lines are in `lines`


class Counting(StepwiseHandler):
    """Its request says how many `steps` of `step_s` seconds; step `breaks` fails.

    Without `tokens` a step takes GPU time alone.
    """

    lines: list[str] = []
    is_enough = False  # ends each count after its step

    def resume(self, state: bytes) -> None:
        self.asked = _asked(self.order)
        self.counted: list[int] = orjson.loads(state) if state else []
        assert len(self.counted) == self.steps_done
        self._note(f"has {self.steps_done}")

    @property
    def is_done(self) -> bool:
        return self.is_enough or bool(self.steps_done == self.asked["steps"])

    async def step(self, session: EngineSession) -> WorkUnits:
        self._note(f"begins {self.steps_done}")
        await asyncio.sleep(self.asked.get("step_s", 0.01))
        if self.steps_done == self.asked.get("breaks"):
            raise EngineFailed(422, "miscounted", "it lost count")
        self.counted.append(self.steps_done)
        if not self.asked.get("tokens", True):
            return WorkUnits(gpu_ms=GPU_MS)
        return WorkUnits(prompt_tokens=1, completion_tokens=2, gpu_ms=GPU_MS)

    def state(self) -> bytes:
        padding: int = self.asked.get("padding", 0)
        return orjson.dumps(self.counted) + b" " * padding

    def result(self) -> bytes:
        return orjson.dumps({"counted": self.counted})

    def _note(self, line: str) -> None:
        if diary := os.environ.get(DIARY):
            with Path(diary).open("a") as file:
                file.write(f"{line}\n")
        else:
            self.lines.append(line)


def _asked(order: Order) -> dict[str, Any]:
    body = orjson.loads(order.body)
    asked: dict[str, Any] = orjson.loads(body["prompt"]) if "prompt" in body else body
    return asked


def a_count(steps: int, **changes: Any) -> Order:
    """`changes`: fields of the order, and of what it asks for."""
    wishes = {n: changes.pop(n) for n in ("step_s", "breaks", "padding", "tokens") if n in changes}
    body = orjson.dumps({"steps": steps, **wishes})
    plain = {"klass": "count", "stream": False, "body": body, "route": "counts"}
    return an_order(**{**plain, **changes})


def register() -> None:
    """Both places that a new class needs."""
    classes.CLASSES[COUNT.name] = COUNT
    handlers.HANDLERS["count"] = Counting


def done_again(lines: list[str]) -> list[str]:
    """Returns the lines in which a step begins that had been done and kept by then."""
    kept, again = 0, []
    for line in lines:
        word, number = line.split()
        if word == "begins" and int(number) < kept:
            again.append(line)
        kept = max(kept, int(number))
    return again
