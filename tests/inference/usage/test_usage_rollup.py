"""Each usage row is in the hours and days exactly once, whatever happens meanwhile."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import OperationalError, connection

from inference.models import RollupMark, Usage, UsageDay, UsageHour
from inference.models.rollup import NOBODY
from inference.usage import rollup
from inference.usage.histogram import Histogram
from tenants.models import Tenant
from tests.inference.usages import AT, Database, all_in, use

KEY, MEMBER, TEAM = (UUID(int=n) for n in (1, 2, 3))


@pytest.fixture
def elsewhere(dsn: str) -> Iterator[Database]:
    """Another connection, in a transaction of its own."""
    with psycopg.connect(dsn) as other:
        yield other
        other.rollback()


def in_thread(work: Any) -> threading.Thread:
    """`work` on a connection of its own, which is closed after it."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def waiting_for_a_lock() -> int:
    """The process id of the roll-up's connection, once it waits."""
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute(
                "select pid from pg_stat_activity where wait_event_type = 'Lock'"
                " and query like '%%with taken as materialized%%'"
            )
            if found := cursor.fetchone():
                return int(found[0])
        time.sleep(0.02)
    raise AssertionError("nobody waits")


def test_rows_go_into_their_hour_and_day(acme: Tenant) -> None:
    for minutes in (0, 10, 60, 600):
        use(acme, created_at=AT + timedelta(minutes=minutes))
    use(acme, api_key_id=KEY, team_id=TEAM)
    use(acme, member_id=MEMBER, model="deepseek-r1")
    assert rollup.roll_up() == 6
    assert all_in()
    assert UsageHour.objects.count() == 5
    assert UsageDay.objects.count() == 4
    keyed = UsageHour.objects.get(api_key_id=KEY)
    assert (keyed.team_id, keyed.member_id) == (TEAM, NOBODY)


def test_each_row_goes_in_once_however_often_it_runs(acme: Tenant) -> None:
    use(acme)
    assert [rollup.roll_up() for _ in range(3)] == [1, 0, 0]
    use(acme), use(acme)
    assert [rollup.roll_up() for _ in range(3)] == [2, 0, 0]
    assert all_in()


def test_what_left_the_house_is_counted_with_its_cost(acme: Tenant) -> None:
    use(acme, cost=7)
    use(acme, cost=11, hosted=True)
    rollup.roll_up()
    use(acme, cost=100, hosted=True)
    rollup.roll_up()
    for row in (UsageHour.objects.get(), UsageDay.objects.get()):
        assert (row.requests, row.cost, row.hosted, row.hosted_cost) == (3, 118, 2, 111)


def test_energy_is_summed_and_what_was_not_measured_adds_nothing(acme: Tenant) -> None:
    use(acme, millijoules=1_800_000)
    use(acme, millijoules=None)
    rollup.roll_up()
    use(acme, millijoules=200_000)
    rollup.roll_up()
    for row in (UsageHour.objects.get(), UsageDay.objects.get()):
        assert (row.requests, row.millijoules) == (3, 2_000_000)


def test_times_become_histograms(acme: Tenant) -> None:
    use(acme, ttft_ms=100, duration_ms=1100, completion_tokens=11, queue_ms=7)
    use(acme, ttft_ms=400, duration_ms=500, completion_tokens=1, queue_ms=None)  # one token
    use(acme, ttft_ms=None, duration_ms=500, completion_tokens=9, queue_ms=0)  # no stream
    use(acme, ttft_ms=300, duration_ms=200, completion_tokens=2)  # a clock was set back
    for _ in range(2):
        rollup.roll_up()
        row = UsageHour.objects.get()
        assert row.ttft == Histogram.of([100, 400, 300]).packed()
        assert row.inter_token == Histogram.of([100, 0]).packed()
        assert row.queue_wait == Histogram.of([7, 0, 3]).packed()
    use(acme, ttft_ms=100, queue_ms=90_000, completion_tokens=1)
    rollup.roll_up()
    row = UsageHour.objects.get()
    assert row.ttft == Histogram.of([100, 400, 300, 100]).packed()
    assert row.queue_wait == Histogram.of([7, 0, 3, 90_000]).packed()


@pytest.mark.parametrize(
    ("status", "finish_reason", "error_code", "counted"),
    [
        (200, "stop", "", None),
        (200, "length", "", None),
        (499, "cancelled", "", "cancelled"),
        (499, "cancelled", "engine_failed", "cancelled"),
        (400, "error", "context_length_exceeded", "errors_client"),
        (400, "error", "invalid_request", "errors_client"),
        (502, "error", "engine_failed", "errors_engine"),
        (503, "error", "server_overloaded", "errors_engine"),
        (502, "error", "of_an_engine_to_come", "errors_engine"),
        (502, "error", "worker_lost", "errors_platform"),
        (504, "error", "deadline_exceeded", "errors_platform"),
        (504, "error", "aborted", "errors_platform"),
        (503, "error", "recorded_late", "errors_platform"),
        (200, "error", "aborted", "errors_platform"),  # from before there was a status
        (200, "error", "invalid_request", "errors_client"),
    ],
)
def test_errors_by_class(
    acme: Tenant, status: int, finish_reason: str, error_code: str, counted: str | None
) -> None:
    use(acme, status=status, finish_reason=finish_reason, error_code=error_code)
    rollup.roll_up()
    row = UsageHour.objects.get()
    classes = ("cancelled", "errors_client", "errors_engine", "errors_platform")
    assert {name for name in classes if getattr(row, name)} == ({counted} if counted else set())
    assert row.requests == 1


def test_a_transaction_that_commits_late_is_waited_for(acme: Tenant, elsewhere: Database) -> None:
    use(acme, model="early")
    use(acme, through=elsewhere, model="late")  # its transaction is open
    use(acme, model="after")  # a later transaction that is through already
    assert rollup.roll_up() == 1
    assert [row.model for row in UsageHour.objects.all()] == ["early"]
    elsewhere.commit()
    assert rollup.roll_up() == 2
    assert all_in()


def test_one_that_rolls_back_leaves_nothing(acme: Tenant, elsewhere: Database) -> None:
    use(acme, through=elsewhere)
    use(acme)
    assert rollup.roll_up() == 0
    elsewhere.rollback()
    assert rollup.roll_up() == 1
    assert all_in()


def test_a_large_transaction_is_taken_in_small_batches(
    acme: Tenant, elsewhere: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        use(acme, through=elsewhere)
    elsewhere.commit()
    monkeypatch.setattr(rollup, "BATCH", 3)
    monkeypatch.setattr(rollup, "PATIENCE_S", 0.0)
    monkeypatch.setattr(time, "monotonic", iter(range(100)).__next__)
    assert rollup.roll_up() == 0  # no time for any
    monkeypatch.setattr(rollup, "PATIENCE_S", 1.5)
    assert [rollup.roll_up() for _ in range(5)] == [3, 3, 3, 1, 0]
    assert all_in()


def test_a_second_run_at_the_same_time_does_nothing(acme: Tenant, elsewhere: Database) -> None:
    use(acme)
    elsewhere.execute("select pg_advisory_xact_lock(%s)", [rollup.LOCK])
    assert rollup.roll_up() == 0
    elsewhere.rollback()
    assert rollup.roll_up() == 1


def test_a_run_that_dies_leaves_no_part_behind(acme: Tenant, elsewhere: Database) -> None:
    use(acme), use(acme)
    elsewhere.execute("lock table inference_usageday in exclusive mode")
    failed: list[Exception] = []

    def killed() -> None:
        try:
            rollup.roll_up()
        except OperationalError as problem:
            failed.append(problem)

    thread = in_thread(killed)
    elsewhere.execute("select pg_terminate_backend(%s)", [waiting_for_a_lock()])
    thread.join()
    elsewhere.rollback()
    assert failed
    assert not UsageHour.objects.exists()
    assert rollup.roll_up() == 2
    assert all_in()


def test_sums_are_right_among_writers_and_several_runs(acme: Tenant, dsn: str) -> None:
    """Four write, in transactions that overlap and sometimes roll back; three roll up."""
    ended = threading.Event()

    def write(number: int) -> None:
        with psycopg.connect(dsn) as database:
            for turn in range(40):
                for part in range(1 + (number + turn) % 4):
                    at = AT + timedelta(minutes=17 * (turn % 9))
                    use(acme, through=database, created_at=at, prompt_tokens=turn + part)
                    time.sleep(0.001 * (turn % 3))
                (database.rollback if turn % 7 == number else database.commit)()

    def run() -> None:
        while not ended.is_set():
            rollup.roll_up()

    runs = [in_thread(run) for _ in range(3)]
    writers = [in_thread(lambda n=n: write(n)) for n in range(4)]
    for thread in writers:
        thread.join()
    ended.set()
    for thread in runs:
        thread.join()
    rollup.roll_up()
    assert Usage.objects.count() > 200
    assert all_in()


def test_rows_from_another_server_are_neither_lost_nor_doubled(acme: Tenant) -> None:
    """A dump was restored: its transaction ids are those of a server that had run for long."""
    far = 10**12
    use(acme, model="in")
    rollup.roll_up()
    use(acme, model="not yet in")
    Usage.objects.filter(model="in").update(xid=far)
    RollupMark.objects.update(xid=far, completion_id=Usage.objects.get(model="in").pk)
    Usage.objects.filter(model="not yet in").update(xid=far + 1)
    use(acme, model="new", created_at=datetime.now(UTC))
    for _ in range(3):
        rollup.roll_up()
    assert all_in()
    use(acme, model="newer")
    assert rollup.roll_up() == 1
    assert all_in()


def test_the_mark_tells_when_it_last_looked(acme: Tenant) -> None:
    rollup.roll_up()
    first = RollupMark.objects.get().at
    rollup.roll_up()
    assert RollupMark.objects.get().at > first
