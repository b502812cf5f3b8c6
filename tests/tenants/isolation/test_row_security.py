"""PostgreSQL by itself keeps tenants apart, and notices when something of that is missing."""

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import DatabaseError, IntegrityError, connection, transaction

from audit.actions import Action
from audit.models import Event
from audit.trail.record import act
from infrastructure.postgres.scope import OutOfReach
from tenants.isolation import check, row_security
from tenants.models import ApiKey, Member, Team, Tenant
from tenants.roles import Role
from tenants.scope import person_scope, system_scope, tenant_scope
from tests.people import join

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def globex() -> Tenant:
    return Tenant.open("globex", by="test")


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice@acme.example", Role.OWNER)


@pytest.fixture
def charlie(globex: Tenant) -> Member:
    return join(globex, "charlie@globex.example", Role.OWNER)


@pytest.fixture
def unset() -> Iterator[None]:
    """As the web process connects: nothing is open."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("set local forebay.system to ''")
        yield
        cursor.execute("set local forebay.system to 'on'")


# What one sees ---------------------------------------------------------------------------------
def test_where_nothing_is_open_there_is_nothing(
    alice: Member, charlie: Member, unset: None
) -> None:
    """Every table with a policy, but those of people: before sign-in it is not known who asks."""
    for table, policies in row_security.guarded().items():
        if "forebay_read" in [policy.name for policy in policies]:
            continue
        assert _count(table) == 0, table


def test_a_tenant_sees_its_own_rows(alice: Member, charlie: Member) -> None:
    with tenant_scope(alice.tenant_id):
        assert list(Tenant.objects.all()) == [alice.tenant]
        assert list(Member.objects.all()) == [alice]
        assert {event.tenant_id for event in Event.objects.all()} == {alice.tenant_id}
    assert Tenant.objects.count() == 2


def test_a_person_sees_memberships_and_names_of_tenants(
    acme: Tenant, globex: Tenant, alice: Member, charlie: Member
) -> None:
    twice = globex.add_member(alice.user, Role.MEMBER, by="test")
    other = Tenant.open("initech", by="test")
    with person_scope(alice.user.pk):
        assert set(Member.objects.all()) == {alice, twice}
        assert set(Tenant.objects.all()) == {acme, globex}
        assert not Event.objects.exists()
        assert not Tenant.objects.filter(pk=other.pk).exists()
        assert Member.objects.all().update(role=Role.OWNER) == 0


def test_a_scope_inside_a_scope_ends(acme: Tenant, globex: Tenant) -> None:
    with tenant_scope(acme.id):
        with tenant_scope(globex.id):
            assert Tenant.objects.get() == globex
        with pytest.raises(ZeroDivisionError), tenant_scope(globex.id):
            raise ZeroDivisionError
        assert Tenant.objects.get() == acme


def test_the_system_does_not_open_inside_a_tenant(alice: Member, charlie: Member) -> None:
    for narrow in (tenant_scope(alice.tenant_id), person_scope(alice.user.pk)):
        with narrow, pytest.raises(OutOfReach), system_scope():
            pytest.fail("it opened")
    with system_scope(), tenant_scope(alice.tenant_id):
        assert Tenant.objects.get() == alice.tenant
    with system_scope():
        assert Tenant.objects.count() == 2


# What one writes -------------------------------------------------------------------------------
def test_who_sees_all_proves_no_scope_of_a_tenant(acme: Tenant) -> None:
    """That takes two hashes for each table of each statement of the hot path."""
    _team(acme, 1).save()
    with system_scope(), connection.cursor() as cursor:
        cursor.execute("explain (analyze, costs off, timing off) select from tenants_team")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "rows=0" not in plan.partition("\n")[0]
    assert "never executed" in plan, plan


def test_no_row_goes_into_a_strangers_tenant(alice: Member, charlie: Member) -> None:
    with tenant_scope(alice.tenant_id):
        _refused(lambda: act(Action.TENANT_CHANGE, actor="test", tenant_id=charlie.tenant_id))
        _refused(
            lambda: Event.objects.filter(tenant_id=alice.tenant_id).update(
                tenant_id=charlie.tenant_id
            )
        )
        assert Member.objects.filter(pk=charlie.pk).update(role=Role.MEMBER) == 0
        assert Member.objects.filter(pk=charlie.pk).delete()[0] == 0
    charlie.refresh_from_db()
    assert charlie.role == Role.OWNER


def _refused(write: Any) -> None:
    with pytest.raises(DatabaseError, match="row-level security|append-only"), transaction.atomic():
        write()


def test_a_row_cannot_point_into_another_tenant(alice: Member, charlie: Member) -> None:
    """Composite foreign keys hold for everybody, also for who sees all."""
    key, _ = ApiKey.issue(alice.tenant, "ours", by="test", created_by=alice)
    with pytest.raises(IntegrityError, match="same_tenant"), transaction.atomic():
        ApiKey.objects.filter(pk=key.pk).update(created_by=charlie)
        _now()


def test_what_points_nowhere_is_fine(alice: Member) -> None:
    key, _ = ApiKey.issue(alice.tenant, "ours", by="test", created_by=alice)
    ApiKey.objects.filter(pk=key.pk).update(created_by=None)
    _now()


def _now() -> None:
    with connection.cursor() as cursor:
        cursor.execute("set constraints all immediate")


# The catalogue ---------------------------------------------------------------------------------
def test_the_database_is_as_the_models_say() -> None:
    assert row_security.check() == []
    assert check.startup_problem() == ""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("create table planted (tenant_id uuid)", "table planted has a tenant but no policy"),
        ("create table planted (id int)", "table planted is neither guarded nor"),
        ("drop policy forebay_tenant on tenants_apikey", "policy forebay_tenant is missing"),
        ("alter policy forebay_tenant on tenants_apikey using (true)", "missing or different"),
        ("alter policy forebay_whole on audit_event with check (true)", "missing or different"),
        ("create policy open on tenants_quota using (true)", "policy open is not ours"),
        ("alter table tenants_team disable row level security", "tenants_team: row-level"),
        ("alter table tenants_team no force row level security", "tenants_team: row-level"),
        (
            "alter table tenants_apikey drop constraint tenants_apikey_team_id_same_tenant",
            "tenants_apikey_team_id_same_tenant that includes the tenant is missing",
        ),
    ],
)
def test_a_gap_is_found_and_closed(change: str, problem: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(change)
    assert [found for found in row_security.check() if problem in found]
    row_security.enforce()
    left = row_security.check()
    assert all("planted" in found for found in left)  # nobody knows what it is for


def test_a_partition_has_the_policies_of_its_table() -> None:
    """The parent's hold only for who asks the parent."""
    with connection.cursor() as cursor:
        month = "for values from ('2001-01-01') to ('2001-02-01')"
        cursor.execute(f"create table old_events partition of audit_event {month}")
    assert any("old_events" in problem for problem in row_security.check())
    row_security.enforce()
    assert row_security.check() == []


def test_django_says_it_too() -> None:
    with connection.cursor() as cursor:
        cursor.execute("drop policy forebay_tenant on tenants_team")
    with pytest.raises(SystemCheckError, match="policy forebay_tenant is missing"):
        call_command("check", databases=["default"], fail_level="WARNING")


def test_migrate_mends_it() -> None:
    with connection.cursor() as cursor:
        cursor.execute("drop policy forebay_tenant on tenants_team")
    call_command("migrate", verbosity=0)
    assert row_security.check() == []


# Nothing bleeds --------------------------------------------------------------------------------
ROUNDS, AT_ONCE = 500, 4


@pytest.mark.django_db(transaction=True)
def test_nothing_bleeds_from_one_transaction_into_the_next() -> None:
    """500 short transactions of two tenants, mixed over few connections; a third of them fail."""
    tenants = [Tenant.open(name, by="test") for name in ("acme", "globex")]
    for tenant in tenants:
        Team.objects.bulk_create([_team(tenant, number) for number in range(3)])
    leaks, opened, lock = [], set(), threading.Lock()

    def one(number: int) -> None:
        tenant = tenants[number % 2]
        found = _looked(tenant, fails=number % 3 == 0)
        outside = _seen_outside()
        with lock:
            opened.add(id(connection.connection))
            if found != {tenant.id} or outside:
                leaks.append((tenant.name, found, outside))

    with ThreadPoolExecutor(AT_ONCE, initializer=_as_the_web) as pool:
        order = random.Random(7).sample(range(ROUNDS), ROUNDS)
        list(pool.map(one, order))
        _close_all(pool)
    assert len(leaks) == 0, leaks[:3]
    assert len(opened) <= AT_ONCE


@pytest.mark.django_db(transaction=True)
async def test_nothing_bleeds_between_tasks() -> None:
    """The same through asyncio: each look goes to a thread and comes back."""
    tenants = [
        await database_sync_to_async(Tenant.open)(name, by="test") for name in ("acme", "globex")
    ]

    pool = ThreadPoolExecutor(AT_ONCE, initializer=_as_the_web)
    look = sync_to_async(_looked, thread_sensitive=False, executor=pool)

    async def one(number: int) -> bool:
        tenant = tenants[number % 2]
        first = await look(tenant, fails=number % 3 == 0)
        await asyncio.sleep(0)
        return first | await look(tenant, fails=False) == {tenant.id}

    assert all(await asyncio.gather(*[one(number) for number in range(100)]))
    _close_all(pool)
    pool.shutdown()


def _close_all(pool: ThreadPoolExecutor) -> None:
    """One task for each thread: none is done before all have begun."""
    together = threading.Barrier(AT_ONCE)

    def close(_: int) -> None:
        connection.close()
        together.wait(10)

    list(pool.map(close, range(AT_ONCE)))


def _team(tenant: Tenant, number: int) -> Team:
    group = Group.objects.create(name=str(uuid4()))
    return Team(tenant=tenant, name=f"team {number}", group=group)


def _as_the_web() -> None:
    """Settings of the session, not of a transaction: nothing is open."""
    with connection.cursor() as cursor:
        cursor.execute("set forebay.system to ''")


def _looked(tenant: Tenant, *, fails: bool) -> set[UUID]:
    found: set[UUID] = set()
    try:
        with tenant_scope(tenant.id):
            found |= set(Tenant.objects.values_list("id", flat=True))
            found |= set(Team.objects.values_list("tenant_id", flat=True))
            if fails:
                with connection.cursor() as cursor:
                    cursor.execute("select 1/0")
    except DatabaseError:
        pass
    return found


def _seen_outside() -> int:
    return Team.objects.count() + Tenant.objects.count()


def _count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f'select count(*) from "{table}"')
        return int(cursor.fetchone()[0])
