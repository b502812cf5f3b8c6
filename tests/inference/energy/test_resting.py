"""Engines that rest: which may, who wakes them, and what is on record."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from audit.models import Event
from inference.due_tasks import IN_DATABASE
from inference.energy import resting
from inference.energy.resting import BY, START_WITHIN_S, balance
from inference.engines.health import breakers
from inference.models import Engine, Replacement
from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.registry.importing import import_file
from tests.inference.fleet import Fleet

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rests(settings: Any) -> Iterator[None]:
    settings.ENERGY_RESTS, settings.ENERGY_HOLD_S, settings.ENERGY_FULL = True, 60, 0.75
    yield
    for name in client().scan_iter("energy:history:*"):
        client().delete(name)


def acts() -> list[tuple[str, Any]]:
    events = Event.objects.filter(actor=BY).order_by("at", "id")
    return [(event.action, event.detail) for event in events]


def test_engines_rest_at_low_load_and_wake_when_it_rises_and_all_is_on_record() -> None:
    fleet = Fleet()
    fleet.see(120, running=1)
    assert fleet.awake == ["1"]
    fleet.see(2, running=4)
    assert fleet.awake == ["1", "2"]
    fleet.see(2, running=9)
    assert fleet.awake == ["1", "2", "3"]

    assert [action for action, _ in acts()] == ["engine:rest"] * 2 + ["engine:wake"] * 2
    rest, wake = acts()[0][1], acts()[2][1]
    assert (rest["name"], rest["demand"], rest["peak"]) == (f"{fleet.pool}.3", 1, 1.0)
    assert (wake["name"], wake["demand"]) == (f"{fleet.pool}.2", 4)


def test_another_process_that_starts_leaves_them_resting() -> None:
    fleet = Fleet()
    fleet.see(120, running=0)
    import_file(fleet.file)

    assert fleet.awake == ["1"]


def test_turned_off_all_are_woken(settings: Any) -> None:
    fleet = Fleet()
    fleet.see(120, running=0)
    settings.ENERGY_RESTS = False
    balance()

    assert fleet.awake == ["1", "2", "3"]
    assert "where resting" in IN_DATABASE["inference.rest_engines"], "beat sends it for that"


@pytest.mark.parametrize("option", [{"elastic": True}, {"hosted": True}])
def test_elastic_and_hosted_engines_are_left_alone(option: dict[str, Any]) -> None:
    fleet = Fleet(**option)
    before = fleet.awake
    fleet.see(120, running=0)

    assert fleet.awake == before
    assert acts() == []


def test_a_pool_in_which_an_operator_drains_an_engine_is_left_alone() -> None:
    fleet = Fleet()
    fleet.see(120, running=0)
    Engine.objects.filter(pool__name=fleet.pool).update(from_file=False)
    resting_engine = fleet.last
    resting_engine.drain(by="operator:ann")
    fleet.see(120, running=0)

    assert fleet.awake == ["1", "2"], "the other one that rested is woken, this one stays"
    resting_engine.refresh_from_db()
    assert (resting_engine.draining, resting_engine.resting) == (True, False)


def test_an_operator_may_wake_one_that_rests_and_it_stays_awake_for_the_hold_time() -> None:
    fleet = Fleet()
    fleet.see(120, running=0)
    Engine.objects.filter(pool__name=fleet.pool).update(from_file=False)
    fleet.last.resume(by="operator:ann")
    assert not fleet.last.resting

    fleet.see(58, running=0)
    assert fleet.awake == ["1", "3"]
    fleet.see(10, running=0)
    assert fleet.awake == ["1"]


def test_a_process_in_which_resting_is_off_does_not_make_engines_swing(settings: Any) -> None:
    fleet = Fleet()
    fleet.see(120, running=0)
    for _ in range(20):
        settings.ENERGY_RESTS = False
        balance()
        settings.ENERGY_RESTS = True
        fleet.see(2, running=0)

    assert fleet.awake == ["1", "2", "3"]
    assert [action for action, _ in acts()] == ["engine:rest"] * 2 + ["engine:wake"] * 2


def test_an_engine_that_is_being_replaced_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet()

    def refuse(_engine: Engine) -> None:
        raise ValidationError("one version takes the other's place")

    monkeypatch.setattr(Engine, "_refuse_during_replacement", refuse)
    fleet.see(120, running=0)

    assert fleet.awake == ["1", "2", "3"]


def test_a_new_version_of_an_engine_that_rests_wakes_it_first() -> None:
    fleet = Fleet()
    fleet.see(120, running=0)
    old = fleet.last
    fields = {"kind": "vllm", "url": "http://127.0.0.1:18999/v1", "slots": 4}
    Replacement.begin(old, f"{old.name}.v2", fields, by="operator:ann")

    assert fleet.awake == ["1", "3"]
    fleet.see(120, running=0)
    assert fleet.awake == ["1", "2", "3"], "its pool is left alone until the replacement has ended"


def test_while_redis_is_away_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    from redis import ConnectionError

    fleet = Fleet()
    fleet.see(120, running=0)

    def away(_pools: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(resting, "occupancy", away)
    fleet.see(10, running=12)

    assert fleet.awake == ["1"]


def test_redis_that_lost_its_data_makes_nobody_rest_too_early() -> None:
    fleet = Fleet()
    fleet.see(50, running=0)
    client().delete(f"energy:history:{fleet.pool}")
    fleet.see(50, running=0)

    assert fleet.awake == ["1", "2", "3"]


def test_an_engine_whose_server_starts_is_not_counted_on() -> None:
    fleet = Fleet()
    fleet.see(120, running=0)
    Engine.objects.filter(name=f"{fleet.pool}.1").update(starting_since=timezone.now())
    fleet.see(2, running=0)

    assert fleet.awake == ["1", "2"]


def test_servers_of_ours_stop_while_they_rest_but_for_a_spare_and_start_in_time() -> None:
    fleet = Fleet(4, launch={"model": "a-model"})
    fleet.see(180, running=1)
    assert (fleet.awake, fleet.stopped) == (["1"], ["3", "4"])

    fleet.see(2, running=4)
    assert (fleet.awake, fleet.stopped) == (["1", "2"], ["4"])
    third = Engine.objects.get(name=f"{fleet.pool}.3")
    assert third.starting_since, "nobody uses it before it is up"
    fleet.see(2, running=8)
    assert fleet.awake == ["1", "2"], "the third one starts still"
    Engine.objects.filter(pk=third.pk).update(starting_since=None)  # by the supervisor
    fleet.see(2, running=8)
    assert fleet.awake == ["1", "2", "3"]
    assert [action for action, _ in acts()] == [
        *["engine:rest"] * 3,
        *["engine:stop"] * 2,
        *["engine:wake", "engine:start", "engine:start", "engine:wake"],
    ]


def test_a_server_stops_only_when_nobody_can_have_sent_its_engine_a_request_since() -> None:
    """A process hears up to half a minute late that an engine takes no requests any more."""
    fleet = Fleet(3, launch={"model": "a-model"})
    fleet.see(64, running=0)
    assert fleet.awake == ["1"]
    assert fleet.stopped == []
    fleet.see(50, running=0)
    assert fleet.stopped == []
    runners = f"{prefix(fleet.pool)}:on"
    client().hset(runners, "late", f"{fleet.pool}.3-aaaa")
    fleet.see(30, running=0)
    assert fleet.stopped == [], "it has a request still"
    client().delete(runners)
    fleet.see(2, running=0)
    assert fleet.stopped == ["3"]


def test_a_stopped_server_starts_when_those_before_it_have_failed() -> None:
    fleet = Fleet(3, launch={"model": "a-model"})
    fleet.see(180, running=0)
    assert (fleet.awake, fleet.stopped) == (["1"], ["3"])
    first, second, third = (f"{fleet.pool}.{n}" for n in (1, 2, 3))
    for name in (first, second):
        Engine.objects.filter(name=name).update(
            starting_since=timezone.now(), starting_reason="ended with code 1"
        )
    fleet.see(2, running=0)
    assert fleet.stopped == []
    Engine.objects.filter(name=third).update(starting_since=None)  # by the supervisor
    fleet.see(2, running=0)
    assert fleet.awake == ["1", "3"]


def test_a_server_that_never_comes_up_is_not_counted_on() -> None:
    fleet = Fleet(4, launch={"model": "a-model"})
    fleet.now = time.time()
    fleet.see(180, running=0)
    assert fleet.stopped == ["3", "4"]
    fleet.see(2, running=4)
    assert fleet.stopped == ["4"]
    long_ago = timezone.now() - timedelta(seconds=START_WITHIN_S)
    Engine.objects.filter(name=f"{fleet.pool}.3").update(starting_since=long_ago)
    fleet.see(2, running=4)

    assert fleet.stopped == []


def test_a_resting_engine_whose_breaker_waits_for_a_request_is_woken_to_get_one() -> None:
    fleet = Fleet(2)
    fleet.see(120, running=0)
    assert fleet.awake == ["1"]
    name = f"{fleet.pool}.2"
    report = breakers.arguments(name, "failed", "a", "away", 0.001, at_once=True)
    client().eval(breakers.REPORT.text, 3, *breakers.keys(name), *report)
    try:
        fleet.see(2, running=4)
        assert fleet.awake == ["1", "2"]
    finally:
        forget = breakers.arguments(name, "forget", "")
        client().eval(breakers.REPORT.text, 3, *breakers.keys(name), *forget)


def test_a_stopped_server_starts_when_resting_is_turned_off(settings: Any) -> None:
    fleet = Fleet(3, launch={"model": "a-model"})
    fleet.see(180, running=0)
    assert fleet.stopped == ["3"]
    settings.ENERGY_RESTS = False
    balance()

    assert (fleet.awake, fleet.stopped) == (["1", "2", "3"], [])
    assert fleet.last.starting_since
