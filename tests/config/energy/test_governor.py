"""The governor sees the load of this host's engines, and puts its acts on record."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.db import OperationalError

from audit.actions import Action
from audit.models import Event
from config.energy import governor, sweep_file
from config.energy.client import AgentClient
from config.energy.governor import present_loads, record
from config.energy.host_clocks import EngineLoad
from config.energy.sweep_file import Sweep
from inference.energy.clock_choice import HOLD_S, Point
from inference.engines import forget
from inference.models import Engine
from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.registry.following import load_once
from inference.registry.importing import import_file

HERE, ELSEWHERE = "http://127.0.0.1:18001/v1", "http://192.0.2.7:8000/v1"


@pytest.fixture
def pool(db: None) -> Iterator[str]:
    name = f"gpus-{uuid4().hex[:8]}"
    engines = [
        {"url": HERE, "gpus": [0, "GPU-1b2c"]},
        {"url": ELSEWHERE, "gpus": [0]},
        {"url": HERE},  # nobody said which GPUs it has
        {"url": HERE, "gpus": [1]},
    ]
    import_file({"chat": {"pools": {name: {"kind": "vllm", "slots": 4, "engines": engines}}}})
    load_once()
    yield name
    client().delete(f"{prefix(name)}:on")
    forget()


def test_the_load_of_each_engine_whose_gpus_are_here(pool: str) -> None:
    runners = [f"{pool}.1-aaaa", f"{pool}.1-aaaa", f"{pool}.2-bbbb"]
    client().hset(f"{prefix(pool)}:on", mapping={str(n): each for n, each in enumerate(runners)})

    assert present_loads() == [
        EngineLoad(f"{pool}.1", ("0", "GPU-1b2c"), running=2, waiting=0),
        EngineLoad(f"{pool}.4", ("1",), running=0, waiting=0),
    ]


@pytest.mark.parametrize("is_on", [True, False])
def test_clocks_are_locked_only_where_forebay_energy_asks_for_it(
    is_on: bool, settings: Any, tmp_path: Path
) -> None:
    settings.ENERGY_CLOCKS, settings.FOREBAY_HOME = is_on, tmp_path
    points = [Point(4, 1980, 3.0, 100, 1000, 50), Point(4, 1005, 2.0, 100, 1010, 50)]
    sweep_file.write(tmp_path, Sweep("a", ["0"], "2026-01-01T00:00:00+00:00", 30, 9, 9, points))
    requests = list[str]()

    class Agent(AgentClient):
        def _ask(self, request: str) -> str:
            requests.append(request)
            return f"ok {request}"

    with patch.multiple(governor, AgentClient=Agent, record=lambda *_: True):
        clocks = governor._host_clocks()
    for second in range(int(HOLD_S) + 2):
        clocks.step(float(second), [EngineLoad("a", ("0",), 1, 0)])

    assert set(requests) == ({"lock 0 1005"} if is_on else set())


def test_a_file_of_sweeps_that_cannot_be_read_is_named(settings: Any, tmp_path: Path) -> None:
    settings.ENERGY_CLOCKS, settings.FOREBAY_HOME = True, tmp_path
    (tmp_path / "energy" / "sweeps.json").mkdir(parents=True)  # as good as another user's

    with pytest.raises(SystemExit, match=r"sweeps\.json"):
        governor._host_clocks()


def test_an_engine_that_drains_is_left_to_the_driver(pool: str) -> None:
    Engine.objects.filter(name=f"{pool}.1").update(draining=True)
    load_once()

    assert [load.name for load in present_loads()] == [f"{pool}.4"]


@pytest.mark.django_db(transaction=True)
def test_an_act_is_on_record_with_its_load() -> None:
    assert record(Action.GPU_LOCK, {"gpu": "0", "mhz": 1005, "running": 2})

    event = Event.objects.get(action="gpu:lock")
    assert event.actor == "system:energy"
    assert event.detail == {"gpu": "0", "mhz": 1005, "running": 2}


@pytest.mark.django_db(transaction=True)
def test_without_postgresql_an_act_is_not_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_arguments: Any, **_fields: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(governor, "act", away)
    assert not record(Action.GPU_LOCK, {"gpu": "0"})
