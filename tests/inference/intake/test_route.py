"""A model's policy: which pool takes a request, by its conditions and by what is known of waits."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from inference import engines
from inference.engines import pools_of
from inference.engines.health import breakers, reachability
from inference.intake import route as routing
from inference.intake.errors import EnginesPaused
from inference.intake.route import route
from tests.inference.callers import a_caller

MODEL = "m"
ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
OVERFLOW = {"condition": "overflow", "overflow_after_ms": 2000}
FAILOVER = {"condition": "failover"}
HOSTED = {"hosted": True}
Serve = Callable[..., None]


@pytest.fixture
def serve(settings: Settings) -> Iterator[Serve]:
    """The model's pools in their order, and what each says beside its engine's address."""

    def serve(**pools: dict[str, Any]) -> None:
        named = {name: {**ENGINE, **fields} for name, fields in pools.items()}
        settings.ENGINES = {MODEL: {"pools": named}}
        engines.forget()

    breakers.forget()
    yield serve
    engines.forget()
    breakers.forget()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds, by pool; nothing is known of others."""
    found: dict[str, float] = {}
    monkeypatch.setattr(routing, "expected", lambda pool, _klass: found.get(pool, 0.0))
    return found


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def down(*names: str) -> None:
        monkeypatch.setattr(reachability, "_down", dict.fromkeys(names, timezone.now()))

    return down


def taken_by(**who: Any) -> str:
    return route(a_caller(**who), MODEL, "realtime").name


def order() -> list[str]:
    return [pool.name for pool in pools_of(MODEL)]


def test_hosted_pools_and_those_for_failover_come_after_all_others(serve: Serve) -> None:
    serve(there=HOSTED, spare=FAILOVER, here={}, near=OVERFLOW)
    assert order() == ["here", "near", "there", "spare"]
    serve(spare=FAILOVER, there=HOSTED, here={})
    assert order() == ["here", "spare", "there"]


def test_a_pool_for_overflow_takes_what_would_wait_too_long(
    serve: Serve, waits: dict[str, float]
) -> None:
    serve(here={}, near=OVERFLOW)
    assert taken_by() == "here"
    waits["here"] = 2.0
    assert taken_by() == "here", "not longer than its threshold"
    waits["here"] = 2.1
    assert taken_by() == "near"
    waits["here"] = 0.5
    assert taken_by() == "here"


def test_it_takes_nothing_where_the_wait_is_longer_still(
    serve: Serve, waits: dict[str, float]
) -> None:
    serve(here={}, near=OVERFLOW)
    waits.update(here=5, near=6)
    assert taken_by() == "here"


def test_overflow_goes_on_from_pool_to_pool(serve: Serve, waits: dict[str, float]) -> None:
    serve(here={}, near=OVERFLOW, there={**HOSTED, **OVERFLOW, "overflow_after_ms": 4000})
    waits.update(here=5, near=3)
    assert taken_by() == "near", "where the wait is not too long for the third one"
    waits.update(near=4.5)
    assert taken_by() == "there"


def test_what_cannot_be_begun_here_goes_to_the_pool_for_overflow(
    serve: Serve, down: Callable[..., None]
) -> None:
    serve(here={}, near=OVERFLOW)
    down("here")
    assert taken_by() == "near"


def test_a_pool_for_overflow_that_is_down_relieves_nobody(
    serve: Serve, waits: dict[str, float], down: Callable[..., None]
) -> None:
    serve(here={}, near=OVERFLOW)
    waits["here"] = 60
    down("near")
    assert taken_by() == "here"


def test_where_all_are_for_overflow_the_first_is_the_primary(
    serve: Serve, waits: dict[str, float]
) -> None:
    serve(one=OVERFLOW, two=OVERFLOW)
    assert taken_by() == "one"
    waits["one"] = 3
    assert taken_by() == "two"


def test_a_pool_for_failover_takes_nothing_while_another_one_is_available(
    serve: Serve, waits: dict[str, float], down: Callable[..., None]
) -> None:
    serve(spare=FAILOVER, here={}, near=OVERFLOW)
    waits.update(here=60, near=60)
    assert taken_by() == "here", "however long the wait"
    down("here")
    assert taken_by() == "near"
    down("here", "near")
    assert taken_by() == "spare"
    down()
    assert taken_by() == "here"


def test_where_all_are_for_failover_the_first_is_the_primary(
    serve: Serve, down: Callable[..., None]
) -> None:
    serve(one=FAILOVER, two=FAILOVER)
    assert taken_by() == "one"
    down("one")
    assert taken_by() == "two"


def test_a_service_that_is_hosted_may_have_its_spare_here(
    serve: Serve, down: Callable[..., None]
) -> None:
    serve(there=HOSTED, spare=FAILOVER)
    assert taken_by() == "there"
    assert taken_by(local_only_by="key") == "spare"
    down("there")
    assert taken_by() == "spare"


def test_who_is_local_only_waits_however_long(
    serve: Serve, waits: dict[str, float], down: Callable[..., None]
) -> None:
    serve(here={}, there={**HOSTED, **OVERFLOW})
    waits["here"] = 60
    assert taken_by() == "there"
    assert taken_by(local_only_by="key") == "here"
    down("here")
    assert taken_by(local_only_by="key") == "here"


def test_a_pool_that_drains_is_not_available(serve: Serve) -> None:
    serve(here={}, spare=FAILOVER)
    found = [*engines.in_force().entries]
    engines.put_in_force([*(_draining(each) if each.pool == "here" else each for each in found)])
    assert taken_by() == "spare"


def _draining(entry: Any) -> Any:
    return type(entry)(entry.model, entry.pool, entry.engine, entry.fields, True, entry.policy)


def test_where_all_are_paused_it_says_so_whatever_the_conditions(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(here={}, near=OVERFLOW, spare=FAILOVER)
    monkeypatch.setattr(breakers, "phase", lambda _engine: breakers.Phase.OPEN)
    with pytest.raises(EnginesPaused):
        taken_by()
