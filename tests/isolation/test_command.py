"""`make isolation`: what a customer runs on their own deployment."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import Pipe
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from audit.checks import catalogue_check
from audit.erasure import execution
from audit.exports import portability, trail_export
from audit.models import LegalHold, Seal
from audit.proof import seal
from audit.retention import legal_hold
from console.compliance import runs
from console.isolation import expected, parallel_proof, proof
from console.isolation.crawler import Cell, Walk
from console.isolation.proof import IsolationProof
from console.isolation.throwaway_tenants import Stage
from inference.record import reconciliation
from inference.usage import rollup
from tenants.isolation import row_security
from tenants.models import Tenant, User
from tenants.models.team import TeamMembership
from tenants.notices import following
from tenants.scope import system_scope
from tests.isolation.conftest import As

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "console/t/<slug:tenant>/members/"


@pytest.fixture(autouse=True)
def _one_page(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole walk is in test_matrix.py."""
    name = connection.settings_dict["NAME"]
    settings.DATABASE_URL = make_conninfo(settings.DATABASE_URL, dbname=name)
    pages = [page for page in expected.PAGES if page.path == PAGE]
    for table, kept in (("PAGES", pages), ("API", ()), ("V1", ())):
        monkeypatch.setattr(f"console.isolation.crawler.{table}", kept)


def test_it_prints_the_table_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("isolation", processes=1)
    printed = capsys.readouterr().out.splitlines()
    (head,) = [line for line in printed if line.startswith("route")]
    for caller in ("owner", "admin", "developer", "auditor", "member", "operator", "anonymous"):
        assert caller in head.split()
    (row,) = [line for line in printed if line.startswith(f"/{PAGE}")]
    assert row.split()[1:3] == ["GET", "200/404"]  # an owner, at home and elsewhere
    assert printed[-1].endswith("0 leaks, 0 wrong answers")
    assert not Tenant.objects.exists()
    assert not User.objects.exists()
    assert LegalHold.objects.count() == 2  # kept for ever: one of each tenant
    assert not LegalHold.objects.filter(released_at=None).exists()
    assert logging.getLogger(__name__).isEnabledFor(logging.WARNING)  # the silence is over


def test_the_sealer_goes_on_meanwhile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a running platform the stage's own events come under seal during the walk."""
    walked = Walk.cells

    async def cells(walk: Walk, told: Callable[[Cell], None]) -> list[Cell]:
        await database_sync_to_async(seal.seal_round)()
        return await walked(walk, told)

    monkeypatch.setattr(Walk, "cells", cells)
    call_command("isolation", processes=1)
    assert Seal.objects.exists()
    assert "0 leaks" in capsys.readouterr().out


JOBS = (
    seal.seal_round,
    catalogue_check.run,
    execution.work,
    portability.work,
    trail_export.work,
    runs.all_night,
    rollup.roll_up,
    reconciliation.reconcile_due,
    following.follow,
)


def test_what_the_platforms_own_jobs_write_is_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """They write in the tables that are left out, in each of these, and in no other one."""
    left_out = set(proof._BACKGROUND)
    monkeypatch.setattr(proof, "_BACKGROUND", set())
    following.follow()  # it reads the acts from here on
    with system_scope():
        stage = Stage.set()
    before = proof.rows_of(stage)
    for job in JOBS:
        job()
    after = proof.rows_of(stage)
    with system_scope():
        stage.clear()
    assert {table for table in before if before[table] != after[table]} == left_out


def test_a_hold_on_the_other_tenant_would_be_one() -> None:
    """It puts the deletion request beside it on hold: so the stage's holds are on nobody."""
    with system_scope():
        stage = Stage.set()
        other, ends = stage.other.tenant.id, timezone.now() + timedelta(hours=1)
        assert None not in LegalHold.objects.values_list("subject_id", flat=True)
        before = proof.rows_of(stage)
        execution.work()
        assert proof.rows_of(stage) == before
        legal_hold.request(other, by="test", reason="everybody", expires_at=ends)
        execution.work()
        assert proof.rows_of(stage)["audit_deletionrequest"] != before["audit_deletionrequest"]
        stage.clear()


def test_an_operator_sees_nothing_of_what_stays(as_person: As) -> None:
    call_command("isolation", processes=1)
    gone = set(LegalHold.objects.values_list("tenant_id", flat=True))
    assert len(gone) == 2
    with system_scope():
        stage = Stage.set()
    here = {stage.own.tenant.id, stage.other.tenant.id}
    lines = as_person(stage.operator).get("/console/holds/").context["lines"]
    with system_scope():
        stage.clear()
    assert {line.hold.tenant_id for line in lines} == here


def test_told_to_stop_while_it_makes_the_two_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    make, main = Stage.set, threading.main_thread().ident
    assert main

    def told_to_stop() -> Stage:
        time.sleep(0.3)
        signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(0.3)
        return make()

    monkeypatch.setattr(Stage, "set", told_to_stop)
    with pytest.raises(KeyboardInterrupt):
        call_command("isolation", processes=1)
    assert LegalHold.objects.count() == 2  # they were made
    assert not Tenant.objects.exists()
    assert not User.objects.exists()


def test_members_join_no_team_that_may_be_gone() -> None:
    """Of another address, which is asked, and perhaps deleted, at the same time."""
    with system_scope():
        stage = Stage.set()
        objects = stage.own.objects
        team = objects.fresh("team")
        beside = objects.fresh("member")
        objects.begin_address()
        alone = objects.fresh("member")
        joined = TeamMembership.objects.filter(team_id=team).values_list("member_id", flat=True)
        assert (beside in joined, alone in joined) == (True, False)
        stage.clear()


def test_shares_of_several_processes_are_one_proof() -> None:
    def share(*names: str, touched: list[str]) -> IsolationProof:
        return IsolationProof([Cell("/", "GET", name, "own", 200, "") for name in names], touched)

    found = parallel_proof._merged(
        [
            share("owner", "auditor", "anonymous", touched=["b", "a"]),
            share("admin", "member", touched=["a"]),
        ]
    )
    order = [cell.caller for cell in found.cells]
    assert order == ["owner", "admin", "auditor", "member", "anonymous"]
    assert found.touched == ["a", "b"]


def test_a_process_that_ends_too_soon_is_no_proof() -> None:
    ear, mouth = Pipe(duplex=False)
    mouth.send(Cell("/", "GET", "owner", "own", 200, ""))
    mouth.close()
    heard: list[Cell] = []
    with pytest.raises(parallel_proof.WalkFailed):
        parallel_proof._shares([ear], heard.append)
    assert len(heard) == 1


def test_a_gap_in_the_catalogue_fails_it(capsys: pytest.CaptureFixture[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("alter table tenants_team no force row level security")
    try:
        with pytest.raises(CommandError, match="forebay migrate"):
            call_command("isolation", processes=1)
    finally:
        row_security.enforce()
    assert "catalogue: table tenants_team: row-level security" in capsys.readouterr().out
