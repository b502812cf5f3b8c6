"""A page is told of its commit once a standby has it, also if that wait is cancelled."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from audit.actions import Action
from audit.proof.seal import seal_round
from audit.trail.record import act
from audit.witnesses.delivery import feed_all
from infrastructure.postgres.queries import rows
from tests.audit.sealed import superuser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def checkpoint() -> None:
    act(Action.DRILL_REPORT, actor="test")
    assert seal_round()


@pytest.fixture
def administrator() -> Iterator[psycopg.Connection]:
    """A superuser, whose own commits wait for no standby. All others wait until the test ends."""
    with superuser() as own:
        own.autocommit = True
        own.execute("set synchronous_commit to local")
        _wait_for_standbys(own, "nobody")
        yield own
        _wait_for_standbys(own, "")


def _wait_for_standbys(administrator: psycopg.Connection, names: str) -> None:
    administrator.execute(f"alter system set synchronous_standby_names = '{names}'")
    administrator.execute("select pg_reload_conf()")
    while administrator.execute("show synchronous_standby_names").fetchone() != (names,):
        pass


def _write() -> None:
    try:
        with transaction.atomic():
            rows("select pg_logical_emit_message(true, 'test', 'as a row would')")
    finally:
        connection.close()


def _waiting(administrator: psycopg.Connection) -> int:
    """Returns the process that waits for the standby."""
    query = "select pid from pg_stat_activity where wait_event = 'SyncRep'"
    for _ in range(500):
        if row := administrator.execute(query).fetchone():
            return int(row[0])
        time.sleep(0.02)
    raise AssertionError("no commit waits")


def test_a_page_whose_wait_for_a_standby_is_cancelled_waits_again(
    administrator: psycopg.Connection,
) -> None:
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(_write)
        try:
            administrator.execute("select pg_cancel_backend(%s)", [_waiting(administrator)])
            until = time.monotonic() + 2
            while not writing.done() and time.monotonic() < until:
                time.sleep(0.02)
            assert not writing.done()
            assert _waiting(administrator)
        finally:
            _wait_for_standbys(administrator, "")
        writing.result(60)


@pytest.mark.usefixtures("checkpoint")
def test_a_witness_is_told_of_a_checkpoint_once_a_standby_has_it(
    administrator: psycopg.Connection, tmp_path: Path, settings: Any
) -> None:
    """A server that crashed shows such a checkpoint when it is back, and may be lost then."""
    witness = tmp_path / "checkpoints.jsonl"
    settings.WITNESSES = [f"file://{witness}"]
    with ThreadPoolExecutor(1) as pool:
        feeding = pool.submit(_feed)
        try:
            assert _waiting(administrator)
            assert not witness.exists()
        finally:
            _wait_for_standbys(administrator, "")
        feeding.result(60)
    assert witness.read_text()


def _feed() -> None:
    try:
        feed_all()
    finally:
        connection.close()
