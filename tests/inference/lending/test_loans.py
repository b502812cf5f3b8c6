"""Engines that are lent to jobs: which are, what brings them back, and what is on record."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from audit.models import Event
from inference.due_tasks import IN_DATABASE
from inference.energy import resting
from inference.energy.resting import balance
from inference.lending import loans
from inference.models import Engine, Pool
from inference.queue.client import client
from tests.inference.fleet import Fleet

pytestmark = pytest.mark.django_db
LENDS = {"return_s": 20}
LAUNCH = {"model": "a-model"}


@pytest.fixture(autouse=True)
def short(settings: Any) -> Iterator[None]:
    settings.ENERGY_RESTS, settings.ENERGY_HOLD_S, settings.ENERGY_FULL = False, 60, 0.75
    yield
    for name in client().scan_iter("energy:history:*"):
        client().delete(name)


def a_fleet(engines: int = 4, **options: Any) -> Fleet:
    fleet = Fleet(engines, **{"lending": LENDS, "launch": LAUNCH, **options})
    fleet.now = time.time() - 200  # rows have the real time, which is later then
    return fleet


def lent_out(fleet: Fleet, running: bool = True) -> Fleet:
    """Returns the fleet once its last engine is lent, with a job on its GPU."""
    fleet.waiting = 1
    fleet.see(180, running=0)
    (number,) = fleet.lent
    if running:
        Engine.objects.filter(name=f"{fleet.pool}.{number}").update(gpu_free=True)
        fleet.waiting, fleet.on = 0, (int(number),)
    return fleet


def acts() -> list[tuple[str, Any]]:
    events = Event.objects.filter(actor=loans.BY).order_by("at", "id")
    return [(event.action, event.detail) for event in events]


def server_is_up(fleet: Fleet, number: int) -> None:
    Engine.objects.filter(name=f"{fleet.pool}.{number}").update(starting_since=None)


def returning_for(fleet: Fleet, number: int, seconds: float) -> None:
    """Play that the engine was asked back so many seconds ago."""
    since = datetime.fromtimestamp(fleet.now - seconds, UTC)
    Engine.objects.filter(name=f"{fleet.pool}.{number}").update(returning_since=since)


def test_each_job_that_waits_gets_the_last_engine_that_is_not_even_a_spare() -> None:
    fleet = a_fleet()
    fleet.see(180, running=1)
    assert (fleet.awake, fleet.stopped, fleet.lent) == (["1"], [], []), "nobody wants a GPU"
    fleet.waiting = 1
    fleet.see(4, running=1)
    assert (fleet.lent, fleet.stopped) == (["4"], ["4"])
    fleet.waiting = 9
    fleet.see(4, running=1)
    assert fleet.lent == ["3", "4"], "the first serves, the second is its spare"
    assert [action for action, _ in acts()] == ["engine:lend"] * 2
    assert acts()[0][1]["name"] == f"{fleet.pool}.4"


def test_a_pool_that_does_not_lend_never_does() -> None:
    fleet = a_fleet(lending={})
    fleet.waiting = 9
    fleet.see(180, running=0)
    assert (fleet.awake, fleet.lent) == (["1", "2", "3", "4"], [])


def test_servers_of_others_are_not_lent() -> None:
    """Nobody here could free their GPUs."""
    fleet = Fleet(4, lending=LENDS)
    fleet.waiting = 9
    fleet.see(180, running=0)
    assert (fleet.awake, fleet.lent) == (["1"], [])


def test_kept_engines_and_no_spare() -> None:
    fleet = a_fleet(lending={**LENDS, "awake": 2, "spare": False})
    fleet.waiting = 9
    fleet.see(180, running=0)
    assert (fleet.awake, fleet.lent) == (["1", "2"], ["3", "4"])


@pytest.mark.parametrize(("running", "lent"), [(1, ["2", "3", "4"]), (2, ["3", "4"])])
def test_a_spare_only_while_a_burst_could_fill_the_engines_before_it(
    running: int, lent: list[str]
) -> None:
    fleet = a_fleet(lending={**LENDS, "spare": "auto"})
    fleet.waiting = 9
    fleet.see(180, running=running)
    assert fleet.awake == ["1"]
    assert fleet.lent == lent


def test_after_a_rush_nothing_is_lent_for_the_hold_time() -> None:
    fleet = a_fleet()
    fleet.see(120, running=0)
    fleet.see(2, running=4)
    fleet.waiting = 9
    fleet.see(56, running=0)
    assert fleet.lent == []
    fleet.see(10, running=0)
    assert fleet.lent == ["3", "4"]


def test_load_takes_an_engine_back_when_its_job_has_left() -> None:
    fleet = lent_out(a_fleet(3))
    fleet.see(2, running=4)
    third = fleet.engine(3)
    assert third.returning_since
    assert third.stopped, "the job is on its GPU"
    returning_for(fleet, 3, 8)
    fleet.see(2, running=4)
    assert fleet.lent == ["3"], "its job is leased still"
    fleet.on = ()
    fleet.see(2, running=4)
    assert (fleet.lent, fleet.stopped) == ([], [])
    assert fleet.engine(3).starting_since, "nobody uses it before it is up"
    server_is_up(fleet, 3)
    fleet.see(2, running=9)
    assert fleet.awake == ["1", "2", "3"]
    third = fleet.engine(3)
    assert third.returning_since is None
    assert third.last_return_s
    assert third.last_return_s > 7
    assert [action for action, _ in acts()] == [
        "engine:lend",
        "engine:take_back",
        "engine:hand_back",
    ]
    assert acts()[1][1]["demand"] == 4
    assert acts()[2][1]["seconds"] > 7


def test_a_job_that_never_leaves_holds_nobody_up_for_longer_than_the_bound() -> None:
    """Its worker has killed it by then, or is dead itself."""
    fleet = lent_out(a_fleet(3))
    fleet.see(2, running=4)
    returning_for(fleet, 3, LENDS["return_s"] + loans.GRACE_S)
    fleet.see(2, running=4)
    assert fleet.lent == ["3"]
    returning_for(fleet, 3, LENDS["return_s"] + loans.GRACE_S + loans.HEARD_S + 1)
    fleet.see(2, running=4)
    assert fleet.lent == []


def test_one_whose_server_has_not_stopped_yet_comes_back_at_once() -> None:
    fleet = lent_out(a_fleet(3), running=False)
    fleet.see(2, running=4)
    assert (fleet.lent, fleet.stopped) == ([], [])
    assert [action for action, _ in acts()] == ["engine:lend", "engine:take_back"]


def test_switched_off_all_come_back_and_wake() -> None:
    fleet = lent_out(a_fleet(3))
    Pool.objects.filter(name=fleet.pool).update(lending={})
    fleet.see(2, running=0)
    returning_for(fleet, 3, 8)
    fleet.on = ()
    fleet.see(2, running=0)
    assert (fleet.lent, fleet.stopped) == ([], [])
    server_is_up(fleet, 3)
    fleet.see(2, running=0)
    assert fleet.awake == ["1", "2", "3"]
    assert fleet.engine(3).returning_since is None


def test_beat_sends_the_task_while_any_pool_lends_or_an_engine_is_on_its_way() -> None:
    for words in ("inference_pool where lending", "lent_since", "returning_since"):
        assert words in IN_DATABASE["inference.rest_engines"]


def test_outside_of_its_hours_nothing_is_lent() -> None:
    now = time.gmtime()
    hours = f"{(now.tm_hour + 12) % 24:02}:00-{(now.tm_hour + 13) % 24:02}:00"
    fleet = a_fleet(3, lending={**LENDS, "hours": hours})
    fleet.waiting = 9
    fleet.see(180, running=0)
    assert (fleet.awake, fleet.lent) == (["1", "2", "3"], [])


def test_when_its_hours_end_an_engine_comes_back_before_that() -> None:
    fleet = lent_out(a_fleet(3))
    soon = time.gmtime(fleet.now + loans.AHEAD_S)
    hours = f"{(soon.tm_hour + 12) % 24:02}:00-{soon.tm_hour:02}:{soon.tm_min:02}"
    Pool.objects.filter(name=fleet.pool).update(lending={**LENDS, "hours": hours})
    fleet.see(2, running=0)
    assert fleet.engine(3).returning_since


def test_while_redis_is_away_an_overdue_engine_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from redis import ConnectionError

    fleet = lent_out(a_fleet(3))
    fleet.see(2, running=4)

    def away(_pools: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(resting, "occupancy", away)
    returning_for(fleet, 3, 15)
    balance(fleet.now)
    assert fleet.lent == ["3"]
    returning_for(fleet, 3, 60)
    balance(fleet.now)
    assert fleet.lent == []


def test_an_operator_takes_one_back() -> None:
    fleet = lent_out(a_fleet(3))
    Engine.objects.filter(pool__name=fleet.pool).update(from_file=False)
    fleet.engine(3).resume(by="operator:ann")
    third = fleet.engine(3)
    assert third.returning_since
    assert third.stopped, "its server starts when the job has left"
    loans.leave(f"{third.name}:jobs")
    third = fleet.engine(3)
    assert (third.lent_since, third.stopped, third.draining) == (None, False, False)


def test_a_worker_that_stops_keeps_the_loan() -> None:
    fleet = lent_out(a_fleet(3))
    loans.leave(f"{fleet.pool}.3:jobs")
    assert fleet.lent == ["3"]
    assert fleet.engine(3).takes_jobs


def test_energys_stopped_engine_can_be_lent_and_is_not_started_meanwhile(settings: Any) -> None:
    settings.ENERGY_RESTS = True
    fleet = a_fleet()
    fleet.see(180, running=0)
    assert fleet.stopped == ["3", "4"]
    fleet.waiting = 2
    fleet.see(4, running=0)
    assert fleet.lent == ["3", "4"]
    fleet.see(2, running=4)
    assert fleet.lent == ["4"]
    assert fleet.engine(3).starting_since


@pytest.mark.parametrize("later", [{"return_s": 20}, {}, {"return_s": 1}])
def test_a_job_keeps_the_gpu_for_the_time_that_it_was_promised(later: dict[str, int]) -> None:
    fleet = lent_out(a_fleet())
    fleet.waiting = 0
    Pool.objects.filter(name=fleet.pool).update(lending=later)
    Engine.objects.get(name=f"{fleet.pool}.4").take_back(by="test")
    returning_for(fleet, 4, 18)
    fleet.see(2, running=0)
    assert Engine.objects.get(name=f"{fleet.pool}.4").lent_since
    returning_for(fleet, 4, 50)
    fleet.see(2, running=0)
    assert not Engine.objects.get(name=f"{fleet.pool}.4").lent_since
