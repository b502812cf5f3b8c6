"""The queries for tasks with something to do look at the rows that the tasks work off."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings as configured
from django.db import connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo
from pytest_django.fixtures import Settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from audit.erasure import deletion
from audit.exports import export_file, portability, trail_export
from audit.keys import rotation
from audit.models import Export, SealMark
from audit.proof import vanished
from audit.proof.seal import seal_due
from audit.trail import unsealed_notes
from audit.witnesses.delivery import feed_all
from config.schedule import scheduler
from config.schedule.scheduler import IN_DATABASE, WORK, WaitingWork
from inference.data_sets import uploading
from inference.models import (
    Batch,
    Completion,
    DataSet,
    DataSetFormat,
    DataSetVersion,
    File,
    FilePurpose,
    Job,
    State,
)
from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.usage.rollup import roll_up
from tenants.models import Tenant
from tests.audit.sealed import Trail, empty, superuser
from tests.audit.subjects import a_member
from tests.e2e.ask import eventually
from tests.inference.usages import use

pytestmark = pytest.mark.django_db(transaction=True)
POOL = "waiting-work-test"


@pytest.fixture
def dsn() -> str:
    name = connection.settings_dict["NAME"]
    return make_conninfo(configured.DATABASE_URL, dbname=name)


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    """Empty, and so are the queue and the notes in Redis."""
    unsealed_notes._redis().delete(unsealed_notes.KEY)
    client().set(f"{prefix(POOL)}:epoch", 1)
    with superuser() as root:
        empty(root)
        yield Trail(root)
    client().delete(*(f"{prefix(POOL)}:{key}" for key in ("epoch", "orders", "leases")))
    unsealed_notes._redis().delete(unsealed_notes.KEY)


@pytest.fixture
def work(trail: Trail, dsn: str, settings: Settings) -> Iterator[WaitingWork]:
    settings.ENGINES = {POOL: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.WITNESSES = []
    work = WaitingWork(dsn)
    yield work
    work.close()


@pytest.fixture
def acme(work: WaitingWork) -> Tenant:
    """Everything of its beginning is worked off."""
    tenant = Tenant.open("acme", by="test")
    work_off()
    assert work.tasks() == set()
    return tenant


def work_off() -> None:
    seal_due()
    vanished.look()
    roll_up()


def test_driving_waits_for_a_batch_that_is_due_and_that_nobody_drives(
    work: WaitingWork, acme: Tenant
) -> None:
    now, hour = timezone.now(), timedelta(hours=1)
    batch = Batch.objects.create(
        tenant=acme,
        subject_id=uuid4(),
        data_key_id=uuid4(),
        endpoint="/v1/completions",
        input_file_id=uuid4(),
        expires_at=now + hour,
    )
    for due_at, leased_until, waits in (
        (None, None, False),
        (now + hour, None, False),
        (now, now + hour, False),
        (now, None, True),
        (now, now, True),
    ):
        Batch.objects.filter(pk=batch.pk).update(due_at=due_at, leased_until=leased_until)
        assert work.tasks() == ({"inference.drive_batches"} if waits else set())


def test_driving_waits_for_a_job_that_is_due_or_whose_order_is_settled(
    work: WaitingWork, acme: Tenant
) -> None:
    now, hour = timezone.now(), timedelta(hours=1)
    own = {"tenant": acme, "model": "large", "created_at": now}
    order = Completion.objects.create(route="job", **own, deadline=now + hour, state="done")
    own = {"tenant": acme, "subject_id": uuid4(), "data_key_id": uuid4(), "model": "large"}
    job = Job.objects.create(kind="quantise", pool="here", actor="test", **own)
    for due_at, order_id, waits in (
        (None, None, False),
        (now + hour, None, False),
        (now, None, True),
        (None, order.pk, True),
    ):
        Job.objects.filter(pk=job.pk).update(due_at=due_at, order_id=order_id)
        assert work.tasks() == ({"inference.drive_jobs"} if waits else set())


def test_a_file_waits_to_be_forgotten_once_its_time_is_over(
    work: WaitingWork, acme: Tenant
) -> None:
    now, hour = timezone.now(), timedelta(hours=1)
    file = File.objects.create(
        tenant=acme,
        subject_id=uuid4(),
        data_key_id=uuid4(),
        purpose=FilePurpose.BATCH,
        name_ciphertext=b"",
    )
    for whole, created_at, expires_at, waits in (
        (True, now - 9 * hour, None, False),
        (True, now, now + hour, False),
        (True, now, now, True),
        (False, now, None, False),
        (False, now - 3 * hour, None, True),
    ):
        told = {"whole": whole, "created_at": created_at, "expires_at": expires_at}
        File.objects.filter(pk=file.pk).update(**told)
        assert work.tasks() == ({"inference.forget_files"} if waits else set())


def test_a_version_of_a_data_set_waits_to_be_read(work: WaitingWork, acme: Tenant) -> None:
    now, day = timezone.now(), timedelta(days=1)
    data_set = DataSet.create(acme, "manual", uuid4(), by="test")
    version = uploading.begin(data_set, DataSetFormat.TEXTS, by="test")
    for state, source, created_at, leased_until, waits in (
        ("uploading", "upload", now, None, False),
        ("uploading", "upload", now - 2 * day, None, True),
        ("importing", "upload", now, None, True),
        ("importing", "upload", now, now + day, False),
        ("importing", "job", now, None, False),
        ("ready", "upload", now - 2 * day, None, False),
    ):
        fields = {"state": state, "source": source, "created_at": created_at}
        DataSetVersion.objects.filter(pk=version.pk).update(**fields, leased_until=leased_until)
        assert ("inference.import_data_sets" in work.tasks()) is waits


def test_every_task_that_is_sent_is_looked_for() -> None:
    assert IN_DATABASE.keys() == {work.task for work in WORK}


def test_nothing_waits_where_nothing_ever_was(work: WaitingWork) -> None:
    assert work.tasks() == set()


# The trail ---------------------------------------------------------------------------------------
def test_events_wait_until_they_are_under_seal(work: WaitingWork, trail: Trail) -> None:
    for _ in range(2):  # without a mark, and after one
        trail.write()
        trail.root.commit()
        assert work.tasks() == {"audit.seal"}
        seal_due()
        assert work.tasks() == set()


def test_they_wait_while_an_open_transaction_holds_them_up(work: WaitingWork, trail: Trail) -> None:
    trail.write()  # not over yet
    with superuser() as other:
        Trail(other, seed=2).write()
        other.commit()
        assert seal_due() == 0
        assert work.tasks() == {"audit.seal"}
        trail.root.commit()
    seal_due()
    assert work.tasks() == set()


def test_events_from_before_a_restore_do_not_wait(work: WaitingWork, trail: Trail) -> None:
    """Their transactions have higher numbers than this server's."""
    last = trail.write()
    trail.root.execute("update audit_event set xid = xid + 1000000")
    trail.root.execute(
        "insert into audit_sealmark (id, xid, event_id, restarts, at) values (1, 0, 0, %s, now())",
        [[last]],
    )
    trail.root.commit()
    assert work.tasks() == set()
    trail.write()
    trail.root.commit()
    assert work.tasks() == {"audit.seal"}


@pytest.mark.parametrize("change", [{"set_back": True}, {"xid": 1 << 60}])
def test_a_sealer_that_was_set_back_goes_on_saying_so(
    work: WaitingWork, trail: Trail, change: dict[str, object]
) -> None:
    trail.grow(rounds=1)
    assert work.tasks() == set()
    SealMark.objects.update(**change)
    assert work.tasks() == {"audit.seal"}


def test_a_note_waits_also_when_its_event_has_vanished(
    work: WaitingWork, acme: Tenant, trail: Trail
) -> None:
    acme.change(by="test", burst=7)
    trail.root.execute("delete from audit_event where action = 'tenant:change'")
    trail.root.commit()
    seal_due()
    assert work.tasks() == {"audit.seal"}
    vanished.look()  # alarms, which is an event
    work_off()
    assert work.tasks() == set()


def test_a_checkpoint_waits_for_its_witnesses(
    trail: Trail, dsn: str, settings: Settings, tmp_path: Path
) -> None:
    settings.ENGINES = {}
    settings.WITNESSES = [f"file://{tmp_path / name}.jsonl" for name in ("one", "two")]
    work = WaitingWork(dsn)
    assert work.tasks() == set()
    for _ in range(2):  # without marks, and with them
        trail.grow(rounds=1)
        assert work.tasks() == {"audit.tell_witnesses"}
        feed_all()
        assert work.tasks() == set()
    work.close()


# Requests ----------------------------------------------------------------------------------------
def test_an_open_request_waits_for_the_sweeper(work: WaitingWork, acme: Tenant) -> None:
    now = timezone.now()
    asked = Completion.objects.create(tenant=acme, model="m", route="r", created_at=now)
    assert work.tasks() == {"inference.sweep"}
    Completion.objects.filter(pk=asked.pk).update(state=State.DONE)
    assert work.tasks() == set()


@pytest.mark.parametrize("key", ["orders", "leases"])
def test_what_is_in_the_queue_waits_for_it(work: WaitingWork, key: str) -> None:
    name = f"{prefix(POOL)}:{key}"
    client().zadd(name, {"x": 1}) if key == "leases" else client().hset(name, "x", "y")
    assert work.tasks() == {"inference.sweep"}
    client().delete(name)
    assert work.tasks() == set()


def test_so_does_a_queue_that_redis_has_lost(work: WaitingWork) -> None:
    client().delete(f"{prefix(POOL)}:epoch")
    assert work.tasks() == {"inference.sweep"}


def test_usage_waits_until_it_is_rolled_up(work: WaitingWork, acme: Tenant) -> None:
    for _ in range(2):
        use(acme)
        assert work.tasks() == {"inference.roll_up"}
        roll_up()
        assert work.tasks() == set()


# People's --------------------------------------------------------------------------------------
def test_a_deletion_request_waits_while_it_is_open(work: WaitingWork, acme: Tenant) -> None:
    request = deletion.ask(*a_member(acme, "alice").who, by="member:1")
    work_off()
    assert work.tasks() == {"audit.delete"}
    deletion.refuse(request, by="member:2", answer="not theirs")
    work_off()
    assert work.tasks() == set()


def test_an_exchange_of_keys_waits_until_it_is_through(work: WaitingWork, acme: Tenant) -> None:
    begun = rotation.start_tenant(acme.id, by="test")
    work_off()
    assert work.tasks() == {"audit.rotate"}
    rotation.advance(begun)
    work_off()
    assert work.tasks() == set()


@pytest.mark.parametrize("kind", ["audit", "subject"])
def test_exports_wait_until_they_are_made(work: WaitingWork, acme: Tenant, kind: str) -> None:
    task = {"audit": "audit.export", "subject": "audit.export_subjects"}[kind]
    made = Export.objects.create(
        tenant_id=acme.id, kind=kind, actor="test", asked={}, expires_at=timezone.now()
    )
    assert work.tasks() == {task}
    Export.objects.filter(pk=made.pk).update(state=export_file.READY)
    assert work.tasks() == set()


def test_kinds_of_exports_are_those_of_their_tasks() -> None:
    assert f"kind = '{trail_export.KIND}'" in IN_DATABASE["audit.export"]
    assert f"kind = '{portability.KIND}'" in IN_DATABASE["audit.export_subjects"]


# Asking ------------------------------------------------------------------------------------------
def test_the_look_reads_no_whole_table(work: WaitingWork, acme: Tenant, trail: Trail) -> None:
    for _ in range(300):
        trail.write()
    trail.root.commit()
    seal_due()
    use(acme)
    with trail.root.cursor() as cursor:
        cursor.execute("analyze audit_event, inference_usage, inference_completion")
    trail.root.commit()
    work.tasks()
    assert work._connection
    plan = work._connection.execute(f"explain {scheduler._WAITING}", work._parameters).fetchall()
    read = "\n".join(row[0] for row in plan)
    for table in ("audit_event", "inference_usage", "inference_completion"):
        assert f"Seq Scan on {table}" not in read
    assert "Sort  (" not in read  # a merge of partitions has a sort key, and sorts nothing


def test_what_cannot_be_asked_about_waits(
    dsn: str, work: WaitingWork, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = Mock(side_effect=psycopg.connect)
    monkeypatch.setattr(psycopg, "connect", tries)
    lost = WaitingWork(make_conninfo(dsn, port="1"))
    assert lost.tasks() == lost.tasks() == set(IN_DATABASE)
    assert tries.call_count == 1  # not each second: beat has other things to do
    lost._away_until = 0
    lost._dsn = dsn
    assert lost.tasks() == set()
    lost.close()


def test_a_connection_that_has_died_is_replaced(work: WaitingWork, trail: Trail) -> None:
    assert work.tasks() == set()
    assert work._connection
    trail.root.execute("select pg_terminate_backend(%s, 5000)", [work._connection.info.backend_pid])
    assert work.tasks() == set(IN_DATABASE)
    work._away_until = 0
    assert work.tasks() == set()


def test_without_redis_what_is_asked_of_it_waits(
    work: WaitingWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Redis(port=1, retry=Retry(NoBackoff(), 0))
    with monkeypatch.context() as without:
        without.setattr("inference.due_tasks.client", lambda: gone)
        without.setattr(unsealed_notes, "_redis", lambda: gone)
        assert work.tasks() == {"audit.seal", "inference.sweep"}


def test_of_two_beats_one_sends_and_the_other_takes_over(trail: Trail, dsn: str) -> None:
    first, second = WaitingWork(dsn), WaitingWork(dsn)
    client().hset(f"{prefix(POOL)}:orders", "a", 1)
    try:
        assert first.tasks()
        assert (first.leads, second.tasks(), second.leads) == (True, set(), False)
        assert first.tasks()
        first.close()  # as its connection does when its host is gone
        eventually(second.tasks)
        assert (first.tasks(), first.leads) == (set(), False)
    finally:
        first.close()
        second.close()
