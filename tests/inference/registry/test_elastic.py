"""An elastic engine takes requests only while its worker says that it is there."""

from types import SimpleNamespace
from typing import Any

import pytest

from audit.models import Event
from inference import tasks
from inference.metrics import engines as figures
from inference.models import Engine
from inference.registry.elastic import BY, attend, leave, stay
from inference.registry.following import load_once
from inference.registry.importing import import_file
from inference.worker.draining import Draining
from tests.e2e.ask import eventually

SERVERS = [{"url": f"http://gpu-{n}:8000/v1"} for n in (1, 2)]
GPUS = {"kind": "vllm", "slots": 4, "elastic": True, "engines": SERVERS}
OTHER = {"kind": "vllm", "url": "http://gpu-9:8000/v1"}
FILE: dict[str, Any] = {"chat": {"pools": {"gpus": GPUS, "other": OTHER}}}


def taking() -> set[str]:
    return set(Engine.objects.filter(draining=False).values_list("name", flat=True))


@pytest.mark.django_db
def test_one_whose_worker_has_never_come_is_sent_nothing() -> None:
    import_file(FILE)
    assert taking() == {"other"}


@pytest.mark.django_db
def test_workers_come_and_go_and_the_file_has_no_say_in_that() -> None:
    import_file(FILE)
    attend({"engine.gpus.1"})
    assert taking() == {"gpus.1", "other"}
    import_file(FILE)  # by another process that starts
    assert taking() == {"gpus.1", "other"}
    attend({"engine.gpus.2"})
    leave({"engine.gpus.1"})
    import_file(FILE)
    assert taking() == {"gpus.2", "other"}


@pytest.mark.django_db
def test_both_are_on_record_once() -> None:
    import_file(FILE)
    for _ in range(2):
        attend({"engine.gpus.1"})
    for _ in range(2):
        leave({"engine.gpus.1"})
    found = Event.objects.filter(actor=BY).order_by("at", "id")
    assert [each.action for each in found] == ["engine:resume", "engine:drain"]


@pytest.mark.django_db
def test_a_second_worker_of_it_and_one_of_another_engine_have_no_say() -> None:
    import_file(FILE)
    attend({"engine2.gpus.1", "engine.other"})
    leave({"engine.other"})
    assert taking() == {"other"}


@pytest.mark.django_db
def test_figures_leave_out_who_is_not_there(pools_in_force: None) -> None:
    import_file(FILE)
    attend({"engine.gpus.2"})
    load_once()
    assert {engine.config.id for _, engine in figures._each()} == {"gpus.2", "other"}


@pytest.fixture
def pools_in_force() -> Any:
    from inference.engines import forget

    yield
    forget()


@pytest.mark.django_db(transaction=True)
def test_celery_tells_of_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_attended", set())
    monkeypatch.setattr(tasks, "draining", Draining())  # this process goes on
    import_file(FILE)
    queues = SimpleNamespace(consume_from={"engine.gpus.1": None})
    app = SimpleNamespace(amqp=SimpleNamespace(queues=queues))
    tasks._is_there(SimpleNamespace(app=app))
    eventually(lambda: taking() == {"gpus.1", "other"})
    tasks._stop_taking_work()
    eventually(lambda: taking() == {"other"})


def worker_of(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_attended", {f"engine.{name}"})
    monkeypatch.setattr(tasks, "draining", Draining())


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_stays_says_so_when_another_one_has_left(
    pools_in_force: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an upgrade, or when a node comes back that was taken for lost."""
    import_file(FILE)
    attend({"engine.gpus.1"})
    leave({"engine.gpus.1"})
    load_once()
    worker_of("other", monkeypatch)
    tasks._look()
    worker_of("gpus.1", monkeypatch)
    tasks._look()
    eventually(lambda: taking() == {"gpus.1", "other"})
    load_once()
    tasks._stop_taking_work()
    eventually(lambda: taking() == {"other"})
    said: list[object] = []
    monkeypatch.setattr(tasks, "stay_soon", said.append)
    tasks._look()  # it hears of its own leaving
    assert said == []


@pytest.mark.django_db
def test_what_an_operator_drains_stays_drained(pools_in_force: None) -> None:
    import_file(FILE)
    Engine.objects.filter(name="gpus.1").update(from_file=False)
    attend({"engine.gpus.1"})
    Engine.objects.get(name="gpus.1").drain(by="operator:1")
    stay({"engine.gpus.1"})
    assert taking() == {"other"}
