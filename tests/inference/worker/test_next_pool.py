"""What an engine could not begin goes on where the model's policy says."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from inference import engines
from inference.engines.health import breakers, reachability
from inference.worker.failover import next_pool
from tests.inference.orders import an_item, an_order

MODEL = "m"
ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
POOLS: dict[str, dict[str, Any]] = {
    "spare": {"condition": "failover"},
    "here": {},
    "near": {"condition": "overflow", "overflow_after_ms": 2000},
    "there": {"hosted": True},
}


@pytest.fixture(autouse=True)
def _served(settings: Settings) -> Iterator[None]:
    named = {name: {**ENGINE, **fields} for name, fields in POOLS.items()}
    settings.ENGINES = {MODEL: {"pools": named}}
    engines.forget()
    breakers.forget()
    yield
    engines.forget()


def goes_on(start: str, own: str = "", attempt: int = 1, **order: Any) -> str:
    """In which pool, from its `own`; "" for none. `start`: where it was routed to."""
    own = own or start
    to = next_pool(an_order(model=MODEL, pool=own, **order), an_item(attempt=attempt), own, start)
    return to.name if to else ""


def test_each_has_one_turn_and_those_for_failover_and_hosted_ones_are_last() -> None:
    assert goes_on("here") == "near"
    assert goes_on("here", "near", 2) == "spare"
    assert goes_on("here", "near", 2, local_only=True) == "spare"
    assert goes_on("here", "there", 2) == "", "it was the last one"


def test_what_had_overflowed_goes_back_before_it_goes_out_of_the_house() -> None:
    assert goes_on("near") == "here"
    assert goes_on("near", "here", 2) == "spare"


def test_one_that_is_down_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr(reachability, "_down", {"near": now, "spare": now})
    assert goes_on("here") == "there"
    assert goes_on("here", local_only=True) == ""
