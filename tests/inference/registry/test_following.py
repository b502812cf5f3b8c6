"""A change in PostgreSQL is in force soon after, and news that was lost does no lasting harm."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from threading import Event
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from inference import engines
from inference.engines import aliases
from inference.models import Engine, Model, ModelAlias, Pool
from inference.pool_policy import PoolPolicy
from inference.registry import following
from inference.registry.following import Following, load
from inference.registry.importing import import_file
from tenants.models import Tenant

URL = "http://gpu-1:8000/v1"
BY = "test"
TABLES = ("inference_model", "inference_pool", "inference_engine")
FILE = {"small": {"kind": "openai", "url": URL}}


def eventually(holds: Callable[[], Any], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


@pytest.fixture
def followed(
    dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Following]:
    """Looks by itself are too seldom to help: what arrives was told.

    Its thread has read once as the test begins.
    """
    monkeypatch.setattr(following, "LOOK_S", 300.0)
    waits, wait = Event(), Following._wait

    def notes_that_it_waits(self: Following, connection: psycopg.Connection[Any]) -> None:
        waits.set()
        wait(self, connection)

    monkeypatch.setattr(Following, "_wait", notes_that_it_waits)
    import_file(FILE)
    found = Following(dsn)
    found.start()
    assert waits.wait(30)
    yield found
    found.stop()
    engines.forget()
    assert "cannot put" not in "".join(told.getMessage() for told in caplog.get_records("call"))


def an_engine(name: str = "second", **fields: Any) -> Engine:
    pool = Pool.add(Model.add(name, by=BY), name, by=BY)
    return Engine.add(pool, name, by=BY, **{"kind": "vllm", "url": URL, **fields})


@pytest.mark.usefixtures("followed")
def test_what_the_database_has_is_in_force() -> None:
    assert list(engines.served()) == ["small"]
    assert engines.served()["small"].config.url == URL


@pytest.mark.usefixtures("followed")
def test_a_lent_engine_that_is_resumed_serves_once_its_server_is_back() -> None:
    made = an_engine(options={"sleeps": True})
    rows, now = Engine.objects.filter(pk=made.pk), timezone.now()
    rows.update(draining=True, resting=True, lent_since=now, gpu_free=True)
    made.refresh_from_db()
    made.resume(by=BY)
    an_engine("third")
    eventually(lambda: "third" in engines.served())
    assert engines.pools()["second"].engines == ()
    made.hand_back(by=BY)
    an_engine("fourth")
    eventually(lambda: "fourth" in engines.served())
    assert engines.pools()["second"].engines == ()
    made.note_awake()
    eventually(lambda: engines.pools()["second"].engines)


@pytest.mark.usefixtures("followed")
def test_a_new_engine_is_served_and_a_removed_one_is_not() -> None:
    made = an_engine(api_key="sk-hidden", options={"context_length": 100})
    eventually(lambda: "second" in engines.served())
    config = engines.served()["second"].config
    assert (config.api_key, config.context_length, config.kind) == ("sk-hidden", 100, "vllm")
    made.pool.model.remove(by=BY)
    eventually(lambda: "second" not in engines.served())


@pytest.mark.usefixtures("followed")
def test_a_changed_policy_is_in_force_and_its_engine_stays() -> None:
    pool = an_engine().pool
    eventually(lambda: "second" in engines.served())
    before, limits = engines.served()["second"], {"realtime": {"waiting": 10}}
    pool.change(by=BY, condition="overflow", overflow_after_ms=2000, limits=limits)
    eventually(lambda: engines.pools()["second"].policy == PoolPolicy("overflow", 2000, limits))
    assert engines.served()["second"] is before


@pytest.mark.usefixtures("followed")
def test_a_change_is_in_force_within_a_second() -> None:
    """The quickest of five: other work on the machine may hold up some."""
    pool, took = an_engine().pool, []
    eventually(lambda: "second" in engines.served())
    for after_ms in range(1000, 6000, 1000):
        began = time.monotonic()
        pool.change(by=BY, condition="overflow", overflow_after_ms=after_ms)
        eventually(partial(_overflows_after, "second", after_ms))
        took.append(time.monotonic() - began)
    assert min(took) < 1


def _overflows_after(pool: str, after_ms: int) -> bool:
    return engines.pools()[pool].policy.overflow_after_ms == after_ms


@pytest.mark.usefixtures("followed")
def test_what_is_told_while_it_reads_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    has_read, goes_on = Event(), Event()

    def slow(connected: Any) -> bool:
        monkeypatch.setattr(following, "load", load)
        found = load(connected)
        has_read.set()
        goes_on.wait(5)
        connected.execute("select")  # brings along what was told meanwhile
        return found

    monkeypatch.setattr(following, "load", slow)
    an_engine()
    assert has_read.wait(5)
    an_engine("third")
    goes_on.set()
    eventually(lambda: {"second", "third"} <= engines.served().keys())


@pytest.mark.usefixtures("followed")
def test_an_engine_that_drains_is_not_tried_while_another_is_there() -> None:
    made = an_engine()
    Engine.add(Pool.add(made.pool.model, "other", by=BY), "other", by=BY, kind="vllm", url=URL)
    made.drain(by=BY)
    eventually(lambda: [pool.name for pool in engines.pools_of("second")] == ["other"])
    assert engines.pools()["second"].takes("second") is None
    made.resume(by=BY)
    eventually(lambda: len(engines.pools_of("second")) == 2)


@pytest.mark.usefixtures("followed")
def test_an_engine_that_stays_keeps_what_it_has_learnt() -> None:
    before = engines.served()["small"]
    an_engine()
    eventually(lambda: "second" in engines.served())
    assert engines.served()["small"] is before


@pytest.mark.usefixtures("followed")
def test_one_that_cannot_be_built_does_not_take_the_others_along() -> None:
    an_engine("strange", kind="parrot")
    an_engine()
    eventually(lambda: "second" in engines.served())
    assert list(engines.served()) == ["small", "second"]


@pytest.mark.usefixtures("followed")
def test_news_that_comes_while_it_reads_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Event()

    def slowly(connection: psycopg.Connection[Any]) -> bool:
        found = load(connection)
        reads.set()
        connection.execute("select pg_sleep(0.5)")  # what is told meanwhile comes with its answer
        return found

    monkeypatch.setattr(following, "load", slowly)
    an_engine("second")
    assert reads.wait(30)
    an_engine("third")
    eventually(lambda: "third" in engines.served())


@pytest.mark.usefixtures("followed")
def test_endless_notifications_have_the_engines_read_a_few_times_a_second(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL lets every user notify: nobody can be denied it."""
    reads = list[float]()

    def timed(connected: psycopg.Connection[Any]) -> bool:
        reads.append(time.monotonic())
        return load(connected)

    monkeypatch.setattr(following, "load", timed)
    with psycopg.connect(dsn, autocommit=True) as stranger:

        def notify_until(holds: Callable[[], Any]) -> None:
            until = time.monotonic() + 30
            while not holds():
                assert time.monotonic() < until, "it never came"
                stranger.execute(f"notify {following.CHANNEL}")

        notify_until(lambda: len(reads) >= 5)
        an_engine()
        notify_until(lambda: "second" in engines.served())
    pauses = [later - earlier for earlier, later in pairwise(reads)]
    assert min(pauses) > following.PAUSE_S - 0.01
    assert following.PAUSE_S >= 0.2


@pytest.mark.usefixtures("followed")
def test_after_a_lost_connection_everything_is_read_anew() -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"alter table {table} disable trigger inference_registry_changes")
        try:
            an_engine()  # and nobody is told
        finally:
            for table in TABLES:
                cursor.execute(f"alter table {table} enable trigger inference_registry_changes")
        assert "second" not in engines.served()
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s",
            [following.CHANNEL],
        )
    eventually(lambda: "second" in engines.served())


@pytest.mark.usefixtures("followed")
def test_what_was_read_last_stays_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(psycopg, "connect", away)
    with connection.cursor() as cursor:
        cursor.execute("delete from inference_engine")  # the thread loses its connection meanwhile
        monkeypatch.setattr(following, "load", away)
    time.sleep(0.3)
    assert list(engines.served()) == ["small"]


@pytest.mark.usefixtures("followed")
def test_an_alias_is_in_force_changed_and_gone_without_a_look(acme: Tenant) -> None:
    alias = ModelAlias.create(acme, "sonnet", "small", by=BY)
    eventually(lambda: aliases.find(acme.pk, "sonnet"))
    alias.change("second", by=BY)
    eventually(lambda: aliases.of_tenant(acme.pk)[0].model == "second")
    alias.remove(by=BY)
    eventually(lambda: not aliases.of_tenant(acme.pk))
