"""kill -9 of whoever drives a batch: no line runs twice that has run, and none is forgotten."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from channels.db import database_sync_to_async
from django.db import connection
from pytest_django.fixtures import Settings

from config.environment import PROJECT
from inference.api.batch import driver, run
from inference.batch import validation
from inference.intake import submit as submitting
from inference.intake.enqueue import enqueue
from inference.models import Batch, BatchLine, Completion, IdempotencyKey, Usage
from inference.worker.recovery.sweeper import sweep_all
from tests.inference.batch.conftest import Echo, Shop, line, rows_of
from tests.inference.running import Bench, until

in_database = database_sync_to_async
LINES, KILLS = 40, 3
DRIVER = """
import django
django.setup()
from tests.inference.batch.driving import work
work()
"""


class AnotherDriver:
    """It finds the same database, Valkey and engine, and begins when it is told to."""

    def __init__(self, dsn: str, bench: Bench) -> None:
        name = connection.settings_dict["NAME"]
        pools = {bench.pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
        engines = {"mock": {"context_length": 4096, "template_tokens": 64, "pools": pools}}
        told = {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "FOREBAY_DATABASE_SCOPE": "system",
            "FOREBAY_ENGINES": json.dumps(engines),
            "FOREBAY_BATCH_IN_FLIGHT": "4",
            "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=name).geturl(),
            "DRIVING_DSN": dsn,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            env={**os.environ, **told},
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def go(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def drivers(dsn: str, bench: Bench) -> Iterator[list[AnotherDriver]]:
    """They start side by side."""
    found = [AnotherDriver(dsn, bench) for _ in range(KILLS)]
    yield found
    for each in found:
        if each.process.returncode is None:
            each.kill()


async def sweep() -> None:
    """As beat has it done: what a driver put on record and not into the queue goes in."""
    while True:
        await in_database(sweep_all)()
        await asyncio.sleep(0.5)


@pytest.mark.slow(seconds=40)
async def test_killed_again_and_again(
    shop: Shop, echo: Echo, settings: Settings, drivers: list[AnotherDriver]
) -> None:
    settings.BATCH_IN_FLIGHT = 4
    echo.pause_s = 0.03
    batch = await shop.begin([line(n) for n in range(LINES)])
    for kill, another in enumerate(drivers):
        before = len(echo.asked)
        another.go()
        await until(lambda: asyncio.sleep(0.01, len(echo.asked) >= before + 3))  # noqa: B023
        await asyncio.sleep(0.02 * kill)  # at another moment each time
        another.kill()
    assert len(echo.asked) < LINES
    await until(lambda: in_database(Batch.objects.due().exists)())  # its lease has run out
    sweeping = asyncio.create_task(sweep())
    ended = await shop.done(batch, 60)
    sweeping.cancel()
    assert ended["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
    rows = await shop.lines(ended["output_file_id"])
    assert [row["custom_id"] for row in rows] == [f"id-{n}" for n in range(LINES)]
    assert set(Counter(echo.said).values()) == {1}
    for table in (Completion, Usage, IdempotencyKey, BatchLine):
        assert await in_database(table.objects.count)() == LINES


async def test_two_drivers_run_each_line_once(
    shop: Shop, echo: Echo, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was taken for dead goes on beside its successor."""
    echo.pause_s = 0.02
    batch = await shop.begin([line(n) for n in range(30)])
    first = shop.drive()
    await until(lambda: asyncio.sleep(0.01, len(echo.asked) >= 3))
    await in_database(Batch.objects.update)(leased_until=None)
    second = shop.drive()
    await asyncio.wait_for(asyncio.gather(first, second), 30)
    ended = await shop.batch(batch)
    assert ended["request_counts"] == {"total": 30, "completed": 30, "failed": 0}
    assert set(Counter(echo.said).values()) == {1}
    assert await in_database(Completion.objects.count)() == 30


async def test_one_that_is_stopped_lets_go_at_once(
    shop: Shop, echo: Echo, settings: Settings
) -> None:
    """As when a jobs process ends: what it has asked for goes on without it."""
    settings.BATCH_IN_FLIGHT, echo.free = 2, 3
    batch, stopped = await shop.begin([line(n) for n in range(12)]), driver.Driver()
    stopped.wake()
    stopped.wake()  # it is awake
    await until(lambda: asyncio.sleep(0.01, len(echo.asked) == 5))
    await asyncio.to_thread(stopped.stop)
    row = await in_database(Batch.objects.due().get)()
    assert (row.state, row.leased_until) == ("in_progress", None)
    echo.gate.set()
    ended = await shop.done(batch)
    assert ended["request_counts"] == {"total": 12, "completed": 12, "failed": 0}
    assert set(Counter(echo.said).values()) == {1}


async def test_long_stages_let_no_lease_lapse(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many large files are read at once: another driver would read them too."""
    goes_on, begun, validate = threading.Event(), threading.Event(), validation.validate

    def long(*args: Any) -> None:
        begun.set()
        goes_on.wait(20)
        validate(*args)

    monkeypatch.setattr(validation, "validate", long)
    monkeypatch.setattr(run, "LEASE", timedelta(seconds=1))
    for n in range(5):
        await shop.begin([line(n)])
    driving = shop.drive()
    await until(lambda: asyncio.sleep(0.01, begun.is_set()))
    await asyncio.sleep(1.5)
    lapsed = await in_database(Batch.objects.due().count)()
    goes_on.set()
    await asyncio.wait_for(driving, 30)
    assert lapsed == 0
    assert await in_database(Batch.objects.filter(state="completed").count)() == 5


async def test_one_that_was_taken_for_dead_leaves_lines_alone(shop: Shop) -> None:
    batch = await shop.begin([line(n) for n in range(3)])
    (stale,) = await in_database(driver.take)(1, Counter())
    await in_database(Batch.objects.update)(leased_until=None)
    (present,) = await in_database(driver.take)(1, Counter())
    assert stale.lease
    assert present.lease
    await in_database(validation.validate)(present.pk, present.lease)
    rows = await rows_of(BatchLine.objects.order_by("pk"))
    await in_database(validation.validate)(stale.pk, stale.lease)
    assert await rows_of(BatchLine.objects.order_by("pk")) == rows
    assert (await shop.batch(batch))["status"] == "in_progress"


@pytest.mark.parametrize("where", ["_in_groups", "_counts"])
async def test_it_breaks_off_while_results_are_written(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """They are written anew, and what was written is gone."""
    monkeypatch.setattr(f"inference.batch.results.{where}", _breaks)
    batch = await shop.begin([line(n) for n in range(3)])
    await asyncio.wait_for(shop.drive(), 30)
    assert (await shop.batch(batch))["status"] == "finalizing"
    monkeypatch.undo()
    await in_database(Batch.objects.update)(leased_until=None)
    ended = await shop.done(batch)
    assert ended["status"] == "completed"
    files = (await shop.client.get("/v1/files", params={"purpose": "batch_output"})).json()
    assert [file["id"] for file in files["data"]] == [ended["output_file_id"]]
    assert len(echo.asked) == 3


def _breaks(batch: Batch) -> list[list[BatchLine]]:
    raise RuntimeError("it breaks off")


async def test_what_is_on_record_and_not_in_the_queue_runs_once(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver has ended between the two."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(submitting, "enqueue", never)
    batch, stop = await shop.begin([line(1)]), asyncio.Event()
    first = asyncio.create_task(driver.drive(shop.context, stop))
    await until(lambda: in_database(Completion.objects.exists)())
    stop.set()
    await asyncio.wait_for(first, 20)
    assert echo.asked == []
    monkeypatch.setattr(submitting, "enqueue", enqueue)
    sweeping = asyncio.create_task(sweep())
    ended = await shop.done(batch, 60)
    sweeping.cancel()
    assert ended["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    assert echo.said == ["say 1"]
