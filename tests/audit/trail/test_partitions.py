"""Months come before their first row and go after their time, whole, and never too early."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from audit.actions import Action
from audit.checks import catalogue_check
from audit.models import DataKey, Event, LegalHold, Payload, PrunedMonth, Seal
from audit.retention import legal_hold
from audit.tasks import make_partitions
from audit.trail import append_only, partitions
from tenants.isolation import row_security
from tenants.models import Tenant
from tests.unguarded import as_shipped

OLD = date(2020, 3, 1)
NOT_SEALED = "is not under seal"


def run(statement: str, values: object = None) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def months(table: str = "audit_event") -> list[str]:
    found = run(
        "select relname from pg_inherits join pg_class c on c.oid = inhrelid "
        "where inhparent = %s::regclass and relname like '%%\\_y%%' order by 1",
        [table],
    )
    return [str(name).removeprefix(f"{table}_") for (name,) in found]


def where(request_id: UUID) -> list[str]:
    found = run(
        "select tableoid::regclass::text from audit_event where request_id = %s", [request_id]
    )
    return [str(name) for (name,) in found]


def event(at: datetime, tenant_id: UUID | None = None, **more: object) -> Event:
    same = {"request_id": uuid4(), "actor": "test", "tenant_id": tenant_id, **more}
    return Event.objects.create(at=at, action=Action.COMPLETION_RECEIVED, **same)


def text(of: Event) -> Payload:
    assert of.tenant_id
    key = DataKey.objects.create(tenant_id=of.tenant_id, subject_id=uuid4(), wrapped=b"")
    same = {"at": of.at, "tenant_id": of.tenant_id, "request_id": of.request_id}
    return Payload.objects.create(field="request", data_key=key, ciphertext=b"x", **same)


def sealed(*events: Event) -> Seal:
    times = [one.at for one in events]
    return Seal.objects.create(
        tenant_id=uuid4(),
        batch=1,
        first_seq=1,
        size=len(events),
        first_at=min(times),
        last_at=max(times),
        event_ids=[one.pk for one in events],
        checkpoint=1,
        position=0,
        sealed_at=timezone.now(),
        **dict.fromkeys(("leaves", "root", "previous", "hash"), b""),
    )


# Making them ------------------------------------------------------------------------------------
@pytest.mark.django_db
class TestMaking:
    def test_they_are_there_ahead_of_time(self) -> None:
        now = timezone.now()
        ahead = date(now.year + (now.month + 2) // 12, (now.month + 2) % 12 + 1, 1)
        for table in append_only.PARTITIONED:
            assert partitions.name(table, now.date()).removeprefix(f"{table}_") in months(table)
            assert partitions.name(table, ahead).removeprefix(f"{table}_") in months(table)

    def test_making_them_again_makes_none(self) -> None:
        before = months()
        assert partitions.make() == []
        make_partitions()
        assert months() == before

    def test_a_new_one_is_guarded_like_the_others(self) -> None:
        run(as_shipped())
        (made,) = run("select audit_make_partitions(24)")[0]
        assert len(made) == 2 * 21  # type: ignore[arg-type]
        assert row_security.check() == []
        assert catalogue_check.problems() == []
        for table in (made[0], made[-1]):  # type: ignore[index]
            with pytest.raises(DatabaseError, match="no truncate"), transaction.atomic():
                run(f"truncate {table}")

    def test_it_finds_rows_by_their_month(self) -> None:
        run("select audit_make_partitions(12)")
        now = timezone.now()
        for days in (0, 31, 62, 300):
            there = event(now + timedelta(days=days))
            assert where(there.request_id) == [  # type: ignore[arg-type]
                partitions.name("audit_event", there.at.date())
            ]

    @pytest.mark.parametrize("ahead", [-1, 25, None])
    def test_no_absurd_number(self, ahead: int | None) -> None:
        with pytest.raises(DatabaseError, match="0 to 24"), transaction.atomic():
            run("select audit_make_partitions(%s)", [ahead])

    def test_a_time_zone_changes_nothing(self) -> None:
        run("set local timezone to 'Asia/Shanghai'")
        run("set local datestyle to 'German'")
        run("select audit_make_partitions(6)")
        last = months()[-1]
        run("set local timezone to 'UTC'")
        run("set local datestyle to 'ISO'")
        first = event(datetime(int(last[1:5]), int(last[7:9]), 1, tzinfo=UTC))
        assert where(first.request_id) == [f"audit_event_{last}"]  # type: ignore[arg-type]


@pytest.mark.django_db
class TestBeyondTheLast:
    """Nobody made months for a while: rows go on being written, and find their places later."""

    def test_rows_are_taken_reported_and_brought_home(self) -> None:
        run(as_shipped())
        last = months()[-1]
        late = datetime(int(last[1:5]), int(last[7:9]), 28, tzinfo=UTC) + timedelta(days=10)
        home = partitions.name("audit_event", late.date())
        there = event(late, tenant_id=uuid4())
        payload = text(there)
        assert where(there.request_id) == ["audit_event_default"]  # type: ignore[arg-type]
        assert catalogue_check.problems() == ["rows lie in no month: see the partitions _default"]
        run("select audit_make_partitions(6)")
        assert where(there.request_id) == [home]  # type: ignore[arg-type]
        assert Event.objects.get(pk=there.pk).xid == there.xid
        assert bytes(Payload.objects.get(pk=payload.pk).ciphertext) == b"x"
        assert catalogue_check.problems() == row_security.check() == []

    def test_two_months_at_once(self) -> None:
        last = months()[-1]
        far = datetime(int(last[1:5]), int(last[7:9]), 1, tzinfo=UTC)
        rows = [event(far + timedelta(days=days)) for days in (40, 45, 75, 5 * 366)]
        run("select audit_make_partitions(6)")
        homes = [where(row.request_id)[0] for row in rows]  # type: ignore[arg-type]
        assert homes[0] == homes[1] != homes[2]
        assert homes[3] == "audit_event_default"  # years ahead: somebody's clock
        assert Event.objects.count() == 4

    def test_a_row_of_long_ago_makes_no_month(self) -> None:
        before = months()
        event(datetime(2001, 1, 1, tzinfo=UTC))
        assert partitions.make() == []
        assert months() == before


@pytest.mark.django_db(transaction=True)
def test_several_at_once_make_each_month_once() -> None:
    ahead = 8

    def make(_: int) -> list[str]:
        try:
            ((names,),) = run("select audit_make_partitions(%s)", [ahead])
            assert isinstance(names, list)
            return names
        finally:
            connection.close()

    try:
        with ThreadPoolExecutor(6) as pool:
            made = [name for names in pool.map(make, range(12)) for name in names]
        assert len(made) == len(set(made)) == 2 * (ahead - partitions.MONTHS_AHEAD)
        assert row_security.check() == []
    finally:
        for name in made:
            run(f"drop table {name}")


# Dropping them ----------------------------------------------------------------------------------
@pytest.fixture
def old(db: None) -> None:
    """A month of each, long ago."""
    for table in append_only.PARTITIONED:
        run("select audit_attach_month(%s, %s)", [table, OLD])


def at(day: int) -> datetime:
    return datetime(OLD.year, OLD.month, day, 12, tzinfo=UTC)


def pruned(table: str = "audit_event", month: date = OLD) -> int:
    with transaction.atomic():
        return partitions.prune_month(table, month)


def refused(because: str, table: str = "audit_event", month: date = OLD) -> None:
    with pytest.raises(DatabaseError, match=because):
        pruned(table, month)


@pytest.mark.django_db
class TestDropping:
    def test_an_old_month_goes_when_all_of_it_is_under_seal(self, old: None) -> None:
        events = [event(at(day), tenant_id=uuid4()) for day in (1, 15, 31)]
        text(events[0])
        seal = sealed(*events)
        assert (pruned("audit_payload"), pruned()) == (1, 3)
        assert "y2020_m03" not in months() + months("audit_payload")
        assert not Payload.objects.exists()
        first, second = PrunedMonth.objects.order_by("id")
        assert (first.table, second.table) == ("audit_payload", "audit_event")
        assert (second.month, second.rows, second.first_seal, second.last_seal) == (
            OLD, 3, seal.pk, seal.pk,
        )  # fmt: skip
        told = Event.objects.order_by("id").last()
        assert told
        assert (told.action, told.actor) == (Action.AUDIT_PRUNE, "system:retention")
        assert told.detail["table"] == "audit_event"
        assert (told.detail["month"], told.detail["rows"]) == ("2020-03", 3)
        assert list(Seal.objects.all()) == [seal]  # proofs stay

    def test_any_day_names_its_month(self, old: None) -> None:
        assert pruned(month=date(2020, 3, 17)) == 0

    def test_not_while_an_event_is_not_under_seal(self, old: None) -> None:
        one, other = event(at(1)), event(at(2))
        sealed(one)
        refused(f"{NOT_SEALED}: 1 events")
        refused(f"{NOT_SEALED}: 1 events", "audit_payload")
        sealed(other)
        assert pruned() == 2

    def test_the_mark_alone_proves_nothing(self, old: None) -> None:
        event(at(1))
        run("insert into audit_sealmark (id, xid, event_id, at) values (1, %s, 0, now())", [2**62])
        refused(NOT_SEALED)

    @pytest.mark.parametrize("approved", [True, False])
    def test_not_while_a_hold_is_in_force(self, old: None, approved: bool) -> None:
        sealed(event(at(1)))
        hold = LegalHold.objects.create(
            tenant_id=uuid4(),
            reason="court",
            requested_by="a",
            approved_by="b" if approved else "",
            approved_at=timezone.now() if approved else None,
            expires_at=timezone.now() + timedelta(days=3),
        )
        for table in append_only.PARTITIONED:
            with pytest.raises(partitions.HoldInForce, match="legal hold"):
                pruned(table)
        for person in ("c", "d"):
            legal_hold.release(hold, by=person, reason="over")
        assert pruned() == 1

    def test_nor_a_month_that_is_not_there(self, old: None) -> None:
        refused("is not there", month=date(2019, 1, 1))
        pruned()
        refused("is not there")

    @pytest.mark.parametrize("table", ["audit_seal", "tenants_tenant", "", "audit_event; --", None])
    def test_nor_anything_else(self, old: None, table: str) -> None:
        refused("nothing of", table)

    def test_nor_a_young_month(self, old: None) -> None:
        now = timezone.now()
        for days in (0, 32, 100, 184, 200):
            refused("is younger than", month=(now - timedelta(days=days)).date())
        refused("is younger than", month=now.date() + timedelta(days=40))

    def test_the_longest_retention_of_any_tenant_counts(self, old: None) -> None:
        tenant = Tenant.open("acme", by="test")
        tenant.change(by="test", retention_days=36_500)
        refused("is younger than 36500 days")
        run("set local forebay.system to ''")  # whoever asks
        refused("is younger than 36500 days")
        run("set local forebay.system to 'on'")
        tenant.change(by="test", retention_days=184)
        assert pruned() == 0

    def test_the_law_s_floor_stands_whatever_else_says(self, old: None) -> None:
        """Even when the function that knows tenants' wishes has been replaced."""
        run("create or replace function audit_longest_retention() returns integer "
            "language sql as 'select 0'")  # fmt: skip
        run("create or replace function audit_retention_of(tenant uuid) returns integer "
            "language plpgsql as 'begin return 0; end'")  # fmt: skip
        now = timezone.now()
        refused("is younger than 184 days", month=(now - timedelta(days=180)).date())
        young = text(event(now - timedelta(days=183), tenant_id=uuid4()))
        with pytest.raises(DatabaseError, match="after its key"), transaction.atomic():
            run("delete from audit_payload where id = %s", [young.pk])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("meanwhile", ["row", "hold"])
def test_nothing_slips_in_between(meanwhile: str, look: psycopg.Connection) -> None:
    """A row or a hold that is being written: dropping gives up, and holds up nobody for long."""
    run("select audit_attach_month('audit_event', %s)", [OLD])
    with look.transaction(force_rollback=True):
        if meanwhile == "row":
            look.execute(_A_ROW, [at(5)])
        else:
            look.execute("lock table audit_legalhold in row exclusive mode")
        refused("lock timeout")
    assert pruned() == 0


_A_ROW = """
    insert into audit_event (at, action, actor, route, model, upstream, success, error_code, detail)
    values (%s, 'test:test', '', '', '', '', true, '', '{}')"""


def test_a_migration_makes_months_too(db: None) -> None:
    name = months()[-1]
    run(f"drop table audit_event_{name}")
    call_command("migrate", verbosity=0)
    assert months()[-1] == name
