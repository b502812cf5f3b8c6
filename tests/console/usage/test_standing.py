"""What the overview says beside requests: who waits, engines, seals, erasures, sign-ins."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as configured
from django.utils import timezone
from redis import RedisError

from audit.actions import Action
from audit.models import DeletionMode, DeletionRequest, DeletionState
from audit.proof.seal_mark import MarkLost
from audit.trail.record import act
from console.usage import figures, health
from console.usage import waiting_requests as waiting
from console.usage.health import Engines, Erasures, SignIns
from inference import request_id
from inference.engines import forget
from inference.engines.health import reachability
from inference.models import Engine, Model, Pool, State
from inference.queue.client import client
from inference.queue.fair_queue import FairQueue, prefix
from infrastructure.redis.cluster_link import link_to
from tenants.models import Member, Tenant, User
from tenants.roles import Permission
from tests.console.asked import completion, refusal
from tests.console.conftest import SignIn
from tests.inference.orders import an_item

POOL = "overview-test"


@pytest.fixture
def pool(settings: Any) -> Iterator[str]:
    """With nothing in it."""
    settings.ENGINES = {POOL: {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": 5}}
    forget()
    _empty()
    yield POOL
    _empty()
    forget()


def _empty() -> None:
    if found := list(client().scan_iter(f"{prefix(POOL)}*", count=10_000)):
        client().delete(*found)


def join(*tenants: Tenant) -> None:
    """One request of each, in the order in which they are named."""

    async def enqueue() -> None:
        redis = link_to(configured.REDIS_URL)
        for tenant in tenants:
            item = an_item(str(tenant.pk), id=str(request_id.new()))
            await FairQueue(redis, POOL).enqueue(item, b"x")
        redis.close()

    asyncio.run(enqueue())


def test_a_tenant_is_told_of_its_own_line_alone(pool: str, acme: Tenant, globex: Tenant) -> None:
    join(globex, globex, acme)
    completion(acme, state=State.OPEN, pool=pool), completion(globex, state=State.OPEN, pool=pool)
    own, everybody = waiting.waiting(acme), waiting.waiting(None)
    assert everybody
    assert own
    assert (everybody.requests, own.requests) == (3, 1)
    assert own.oldest_s is not None
    assert everybody.oldest_s is not None
    assert 0 <= own.oldest_s <= everybody.oldest_s < 60


def test_nobody_waits(pool: str, acme: Tenant) -> None:
    assert waiting.waiting(None) == waiting.waiting(acme) == waiting.WaitingCount(0, None)


def test_without_redis_the_rest_stands(
    alice: Member, operator: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_asked: object, **_named: object) -> Any:
        raise RedisError

    monkeypatch.setattr(waiting, "occupancy", gone)
    monkeypatch.setattr(waiting, "own_lines", gone)
    monkeypatch.setattr(health, "occupancy", gone)
    for who, where in ((alice, "/console/t/acme/"), (operator, "/console/")):
        page = sign_in(who).get(where)
        assert page.status_code == 200
        assert "Redis is unavailable" in page.content.decode()
    assert figures.platform_health().engines == Engines(0, 0, (), False, 0, None)


def test_refusals_of_the_last_minutes_are_counted(acme: Tenant, globex: Tenant) -> None:
    refusal(acme, count=7), refusal(globex, count=2), refusal(acme, seconds_ago=400, count=100)
    assert (figures.refused(acme), figures.refused(globex), figures.refused(None)) == (7, 2, 9)


def test_engines_that_are_not_ready_are_named(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    of = Pool.add(Model.add("served", by="test"), "served", by="test")
    for name in ("a", "b", "c"):
        Engine.add(of, name, by="test", kind="openai", url="http://127.0.0.1:9/v1", slots=3)
    Engine.objects.filter(name="b").update(draining=True)
    Engine.objects.filter(name="c").update(staged=True)
    monkeypatch.setattr(reachability, "_down", {"a": timezone.now()})
    found = figures.platform_health().engines
    assert found
    assert (found.number, found.ready, found.slots, found.down) == (2, 0, 6, True)
    assert [(name, str(why)) for name, why in found.others] == [("a", "down"), ("b", "draining")]
    assert (found.more, found.full) == (0, False)
    monkeypatch.setattr(reachability, "_down", {})
    again = figures.platform_health().engines
    assert again
    assert again.ready == 1, "what the page says of a model that is down is as fresh"


def test_the_sealer_has_stopped(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> float:
        raise MarkLost

    found = health.of_platform().seals
    assert found
    assert not found.late
    monkeypatch.setattr(health, "unsealed_age", lost)
    found = health.of_platform().seals
    assert found
    assert found.stopped
    assert found.late


def erasure(tenant: Tenant, age_h: float, **fields: Any) -> None:
    asked = timezone.now() - timedelta(hours=age_h)
    given = {"state": DeletionState.REQUESTED, "requested_by": "test", **fields}
    times = {"requested_at": asked, "due_at": asked + timedelta(hours=72)}
    DeletionRequest.objects.create(tenant_id=tenant.pk, subject_id=uuid4(), **times, **given)


def test_the_erasure_that_is_due_first(acme: Tenant, globex: Tenant) -> None:
    erasure(acme, 10)
    erasure(acme, 90, state=DeletionState.DONE)
    erasure(acme, 80, state=DeletionState.HELD, held_at=timezone.now())
    begun = {"mode": DeletionMode.RESTRICT, "started_at": timezone.now()}
    erasure(acme, 200, state=DeletionState.RUNNING, **begun)
    erasure(globex, 50)
    own = health.of_tenant(acme, {Permission.MANAGE_DELETIONS}).erasures
    everybody = health.of_platform().erasures
    assert own
    assert everybody
    assert (own.open, own.near, everybody.open) == (3, False, 4)
    assert own.hours_left == pytest.approx(62, abs=0.1)
    assert everybody.hours_left == pytest.approx(22, abs=0.1)
    assert (everybody.near, everybody.overdue, Erasures(1, -0.5).overdue) == (True, False, True)


def test_sign_ins_that_were_refused_lately(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex, None):
        whose = tenant.pk if tenant else None
        act(Action.SESSION_DENIED, actor="unknown", success=False, tenant_id=whose)
    act(Action.SESSION_LOCKED, actor="x", success=False, tenant_id=globex.pk)
    act(Action.SESSION_LOGIN, actor="x", tenant_id=acme.pk)
    assert health.of_platform().sign_ins == SignIns(3, 1)
    assert health.of_tenant(acme, {Permission.VIEW_AUDIT}).sign_ins == SignIns(1, 0)


def test_a_flood_of_sign_ins_is_not_counted_to_its_end(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MOST", 2)
    for _ in range(3):
        act(Action.SESSION_DENIED, actor="unknown", success=False)
    found = health.of_platform().sign_ins
    assert found == SignIns(2, 0)
    assert found.most


def test_a_role_is_told_what_it_may_see_and_nobody_of_the_platform(
    acme: Tenant, alice: Member, bob: Member, carol: Member, operator: User, sign_in: SignIn
) -> None:
    words = "Engines ready", "Sealing delay", "Erasures open", "Sign-ins refused"
    shown = {}
    for who in (alice, bob, carol):
        page = sign_in(who).get("/console/t/acme/live/").content.decode()
        shown[who.user.name] = [word for word in words if word in page]
    assert shown["Alice"] == ["Erasures open", "Sign-ins refused"]  # an owner
    assert shown["Bob"] == []  # a developer
    assert shown["Carol"] == ["Sign-ins refused"]  # an auditor
    platform = sign_in(operator).get("/console/live/").content.decode()
    assert all(word in platform for word in words)


def test_figures_are_kept_for_a_moment(acme: Tenant, django_assert_num_queries: Any) -> None:
    held = frozenset(Permission)
    figures.refused(acme), figures.tenant_health(acme, held), figures.platform_health()
    with django_assert_num_queries(0):
        figures.refused(acme), figures.tenant_health(acme, held)
        figures.platform_health()
    assert figures.tenant_health(acme, frozenset()).erasures is None
