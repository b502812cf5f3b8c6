"""Figures that the jobs process reads in PostgreSQL and Valkey."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings as configured
from django.db import connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo
from pytest_django.fixtures import Settings

from audit import figures as of_audit
from audit.models import CheckRun, DeletionMode, DeletionRequest, DeletionState
from audit.proof.seal import seal_due
from audit.witnesses.delivery import feed_all
from config.metrics import process, scraped_sources
from inference import request_id
from inference.engine_entries import EngineEntry
from inference.engines import forget, put_in_force
from inference.engines.health import breakers
from inference.jobs.on_host.endings import PAUSING
from inference.metrics import engines, jobs, queues
from inference.models import Job, JobState
from inference.queue.client import client
from inference.queue.fair_queue import FairQueue, prefix
from infrastructure.metrics import FAMILIES, registry
from infrastructure.redis.cluster_link import link_to
from tenants import figures as of_tenants
from tenants.models import Reconciliation, Tenant
from tenants.roles import Role
from tests.audit.sealed import Trail, empty, superuser
from tests.inference.data_sets.made import a_job, a_model
from tests.inference.orders import an_item
from tests.people import join

pytestmark = pytest.mark.django_db(transaction=True)
POOL = "metrics-test"
_CLASS = (POOL, "realtime")


def of(name: str, *labels: str) -> float:
    (metric,) = FAMILIES[name].collect()
    return next(
        sample.value for sample in metric.samples if tuple(sample.labels.values()) == labels
    )


@pytest.fixture(autouse=True)
def _own_pool(settings: Settings) -> Iterator[None]:
    settings.ENGINES = {POOL: {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": 5}}
    forget()
    _empty_pool()
    yield
    _empty_pool()
    forget()


def _empty_pool() -> None:
    if found := list(client().scan_iter(f"{prefix(POOL)}*", count=10_000)):
        client().delete(*found)


@pytest.fixture
def database() -> Iterator[psycopg.Connection[object]]:
    dsn = make_conninfo(configured.DATABASE_URL, dbname=connection.settings_dict["NAME"])
    with psycopg.connect(dsn, autocommit=True, **configured.SEES_ALL) as asking:
        yield asking


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    with superuser() as root:
        empty(root)
        yield Trail(root)


# PostgreSQL --------------------------------------------------------------------------------------
def test_how_far_the_sealer_is_behind(
    trail: Trail, database: psycopg.Connection[object], settings: Settings
) -> None:
    settings.WITNESSES = []
    of_audit.read(database)
    assert of("forebay_seal_lag_seconds") == 0
    for _ in range(2):  # without a mark, and after one
        trail.write()
        trail.root.commit()
        of_audit.read(database)
        assert 1_500 < of("forebay_seal_lag_seconds") < 2_100  # it dates events 30 min back
        seal_due()
        of_audit.read(database)
        assert of("forebay_seal_lag_seconds") == 0


def test_how_far_witnesses_are_behind(
    trail: Trail, database: psycopg.Connection[object], settings: Settings, tmp_path: object
) -> None:
    settings.WITNESSES = [f"file://{tmp_path}/heard.jsonl"]
    trail.write()
    trail.root.commit()
    seal_due()
    of_audit.read(database)
    assert of("forebay_witness_lag_checkpoints") == 1
    feed_all()
    of_audit.read(database)
    assert of("forebay_witness_lag_checkpoints") == 0


def asked(age_h: float, state: str = DeletionState.REQUESTED, **fields: object) -> DeletionRequest:
    now = timezone.now()
    given = {
        "tenant_id": uuid4(),
        "subject_id": uuid4(),
        "requested_by": "test",
        "requested_at": now - timedelta(hours=age_h),
        "due_at": now + timedelta(hours=72 - age_h),
    }
    return DeletionRequest.objects.create(state=state, **{**given, **fields})


def clock_h(database: psycopg.Connection[object]) -> float:
    of_audit.read(database)
    return of("forebay_erasure_oldest_age_seconds") / 3600


def test_the_clock_of_erasures(database: psycopg.Connection[object]) -> None:
    now = timezone.now()
    asked(5)
    asked(30, DeletionState.RUNNING)
    asked(60, DeletionState.HELD, held_at=now)
    asked(90, DeletionState.DONE)
    assert clock_h(database) == pytest.approx(30, abs=0.1)
    assert of("forebay_erasures_open") == 3
    asked(500, due_at=now + timedelta(hours=32))  # a hold has stopped its clock
    assert clock_h(database) == pytest.approx(40, abs=0.1)


def test_a_restriction_that_has_begun_is_late_only_when_it_is_over(
    database: psycopg.Connection[object],
) -> None:
    began = timezone.now() - timedelta(hours=900)
    restricted = {"mode": DeletionMode.RESTRICT, "started_at": began}
    asked(901, DeletionState.RUNNING, **restricted)
    asked(970, DeletionState.RUNNING, **restricted, alerted_at=began)  # late before it began
    assert clock_h(database) == 0
    asked(50, mode=DeletionMode.RESTRICT)  # not begun
    assert clock_h(database) == pytest.approx(50, abs=0.1)
    asked(901, DeletionState.RUNNING, **restricted, alerted_at=timezone.now())  # retention is over
    assert clock_h(database) == pytest.approx(901, abs=0.1)


def test_what_checks_found_last(database: psycopg.Connection[object]) -> None:
    now = timezone.now()
    for name, minutes, ok in (
        ("a", 5, False),
        ("a", 1, True),
        ("b", 5, True),
        ("b", 1, False),
        ("old", 60 * 24 * 4, False),
    ):
        CheckRun.objects.create(name=name, at=now - timedelta(minutes=minutes), ok=ok)
    CheckRun.objects.create(name="b", tenant_id=uuid4(), at=now, ok=True)
    of_audit.read(database)
    assert (of("forebay_check_ok", "a"), of("forebay_check_ok", "b")) == (1, 0)
    with pytest.raises(StopIteration):
        of("forebay_check_ok", "old")


def test_how_large_the_database_is_is_asked_seldom(database: psycopg.Connection[object]) -> None:
    of_audit.forget()
    of_audit.read(database)
    assert of("forebay_postgresql_size_bytes") > 1_000_000
    of_audit.SIZE.set(7)
    of_audit.read(database)
    assert of("forebay_postgresql_size_bytes") == 7
    of_audit.forget()
    of_audit.read(database)
    assert of("forebay_postgresql_size_bytes") > 1_000_000


def test_days_whose_books_differ(database: psycopg.Connection[object]) -> None:
    today = timezone.now().date()
    tenant = Tenant.objects.create(name="acme")
    same = {"requests_ledger": 1, "requests_usage": 1, "tokens_ledger": 9, "tokens_usage": 9}
    for ago, wrong in (
        (1, {}),
        (2, {"tokens_usage": 8}),
        (3, {"counters_off": 1}),
        (30, {"tokens_usage": 8}),
    ):
        Reconciliation.objects.create(
            tenant=tenant,
            day=today - timedelta(days=ago),
            ran_at=timezone.now(),
            cost_ledger=0,
            cost_usage=0,
            **{**same, **wrong},
        )
    of_tenants.forget()
    of_tenants.read(database)
    assert of("forebay_reconciliation_differences") == 2
    Reconciliation.objects.filter(tokens_usage=8).update(tokens_usage=9)  # compared again
    of_tenants.forget()
    of_tenants.read(database)
    assert of("forebay_reconciliation_differences") == 1


def test_jobs_and_models_by_kind_and_state(database: psycopg.Connection[object]) -> None:
    alice = join(Tenant.open("acme", by="test"), "alice@acme.example", Role.OWNER)
    job = a_job(alice)
    for _ in range(2):
        a_job(alice)
    Job.objects.filter(pk=job.pk).update(state=JobState.PAUSED, reason="disk_full")
    a_model(alice.tenant, "support")
    jobs.forget()
    jobs.read(database)
    assert of("forebay_jobs", "fine-tune", "succeeded") == 2
    assert of("forebay_jobs", "fine-tune", "paused") == 1
    assert of("forebay_jobs_paused", "disk_full") == 1
    assert of("forebay_model_versions", "adapter", "ready") == 1
    jobs.forget()
    with pytest.raises(StopIteration):
        of("forebay_jobs_paused", "disk_full")


def test_each_reason_of_a_paused_job_has_a_name_in_metrics() -> None:
    assert set(jobs.REASONS) >= PAUSING


# Valkey ------------------------------------------------------------------------------------------
def test_who_waits_and_for_how_long() -> None:
    async def join() -> None:
        redis = link_to(configured.REDIS_URL)
        queue = FairQueue(redis, POOL)
        first = an_item("acme", id=str(request_id.new()))
        await queue.enqueue(first, b"x")
        await queue.pop(1, "gpu-1-0")
        for tenant in ("acme", "acme", "globex"):
            await queue.enqueue(an_item(tenant, id=str(request_id.new())), b"x")
        redis.close()

    asyncio.run(join())
    time.sleep(0.1)
    queues.read(time.monotonic() + 10)
    assert of("forebay_requests_waiting", *_CLASS) == 3
    assert of("forebay_requests_running", *_CLASS) == 1
    assert of("forebay_tenants_waiting", *_CLASS) == 2
    assert 0.1 <= of("forebay_oldest_waiting_seconds", *_CLASS) < 60
    assert of("forebay_oldest_waiting_seconds", POOL, "batch") == 0


def test_fairness_drift_is_between_those_who_wait() -> None:
    active = f"{prefix(POOL)}:realtime:active"
    with client().pipeline() as ask:
        for tenant, tokens in (("a", 100.0), ("b", 350.5), ("c", 120.0)):
            ask.zadd(active, {tenant: tokens})
            item = an_item(tenant, id=str(request_id.new()))
            ask.lpush(f"{prefix(POOL)}:realtime:line:{tenant}", str(item))
            ask.hset(f"{prefix(POOL)}:orders", item.id, b"x")
        ask.execute()
    queues.read(time.monotonic() + 10)
    assert of("forebay_fairness_drift_tokens", *_CLASS) == 250.5


def test_five_thousand_tenants_make_no_page_longer() -> None:
    queues.read(time.monotonic() + 10)
    lines = sum(len(metric.samples) for metric in registry().collect())
    active, lines_of = f"{prefix(POOL)}:realtime:active", f"{prefix(POOL)}:realtime:line:"
    with client().pipeline() as ask:
        for n in range(5_000):
            item = an_item(f"tenant-{n}", id=str(request_id.new()))
            ask.zadd(active, {item.tenant: float(n)})
            ask.lpush(lines_of + item.tenant, str(item))
            ask.hset(f"{prefix(POOL)}:orders", item.id, b"x")
        ask.execute()
    began = time.monotonic()
    queues.read(began + 10)
    took = time.monotonic() - began
    print(f"5,000 tenants wait: read in {took * 1000:.0f} ms")
    assert took < scraped_sources.QUEUES_S
    assert of("forebay_tenants_waiting", *_CLASS) == 5_000
    assert of("forebay_fairness_drift_tokens", *_CLASS) == 4_999
    assert of("forebay_oldest_waiting_seconds", *_CLASS) > 0
    assert sum(len(metric.samples) for metric in registry().collect()) == lines


def test_how_engines_are() -> None:
    engines.read_queue()
    engines.ask()
    key = POOL, POOL
    assert of("forebay_engine_slots", *key) == 5
    assert of("forebay_engine_slots_busy", *key) == 0
    assert of("forebay_engine_breaker_state", *key, breakers.Phase.CLOSED) == 1
    assert of("forebay_engine_breaker_state", *key, breakers.Phase.OPEN) == 0
    assert of("forebay_engine_up", *key) == 0  # nobody listens there


def test_a_drained_engine_that_is_silent_is_no_fault() -> None:
    fields = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    names = ("serves", "rests")
    put_in_force([EngineEntry("m", POOL, name, fields, name == "rests") for name in names])
    engines.ask()
    assert of("forebay_engine_up", POOL, "serves") == 0
    with pytest.raises(StopIteration):
        of("forebay_engine_up", POOL, "rests")


def test_a_drained_engine_hides_no_pool_whose_other_engines_are_left_alone() -> None:
    """Its breaker stays closed: nobody asks it. The alert asks for a closed one of the pool."""
    fields = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    names = ("serves", "rests")
    put_in_force([EngineEntry("m", POOL, name, fields, name == "rests") for name in names])
    engines.read_queue()
    assert of("forebay_engine_breaker_state", POOL, "serves", breakers.Phase.CLOSED) == 1
    with pytest.raises(StopIteration):
        of("forebay_engine_breaker_state", POOL, "rests", breakers.Phase.CLOSED)


def test_how_full_the_disk_is() -> None:
    process.set_role("web")
    size = of("forebay_home_size_bytes")
    assert 0 <= of("forebay_home_free_bytes") <= size
    assert size > 1_000_000


def test_what_valkey_says_of_itself() -> None:
    scraped_sources.sources()["valkey"].read()
    assert of("forebay_valkey_memory_bytes") > 100_000
    assert of("forebay_celery_queue_length", "jobs") >= 0


def test_a_folder_that_is_gone_takes_no_other_figure_along(settings: Settings) -> None:
    settings.FOREBAY_HOME = "/nowhere"
    names = {sample.name for metric in registry().collect() for sample in metric.samples}
    assert "process_cpu_seconds_total" in names
    assert "forebay_home_free_bytes" not in names
