"""The extension of ASGI by which a request hears that its client has gone."""

import gc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from config.http.bounded_http import when_gone_of

pytestmark = pytest.mark.unit


class Cycle:
    """The part of uvicorn's cycle of a request that the extension reads."""

    def __init__(self) -> None:
        self.disconnected = False
        self.resumed = 0
        self.flow = SimpleNamespace(resume_reading=self._resume)
        self.scope: dict[str, Any] = {}
        self.tell_gone: Any = None

    def _resume(self) -> None:
        self.resumed += 1


@pytest.fixture
def without_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_who_asks_is_told_also_when_it_is_late() -> None:
    cycle, told = Cycle(), list[str]()
    when_gone = when_gone_of(cycle)  # type: ignore[arg-type]
    when_gone(lambda: told.append("in time"))
    assert cycle.resumed, "uvicorn stops reading behind a large body, and would see no end"
    cycle.tell_gone()
    cycle.disconnected = True
    when_gone(lambda: told.append("late"))
    assert told == ["in time", "late"]


def test_a_request_is_not_kept_until_garbage_is_collected(without_collection: None) -> None:
    cycle = Cycle()
    cycle.flow = SimpleNamespace(resume_reading=lambda: None)
    cycle.scope["extensions"] = when_gone_of(cycle)  # type: ignore[arg-type]
    cycle.scope["extensions"](lambda: None)
    gone = weakref.ref(cycle)
    del cycle
    assert gone() is None
