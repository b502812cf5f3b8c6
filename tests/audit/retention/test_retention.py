"""What is kept how long: floors that nobody lowers, previews, and 201 days gone by."""

import contextlib
import json
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from django.utils.functional import lazystr

from audit.exports import export_file, trail_export
from audit.keys import keyring, signing
from audit.models import CheckRun, Event, LegalHold, Payload, PrunedMonth, RetentionRule, Seal
from audit.offline import forebay_verify
from audit.proof import seal
from audit.retention import data_classes, legal_hold, periods, pruning
from audit.retention.data_classes import AUDIT, Counts, DataClass
from audit.search.events import Filters
from tenants.models import Tenant
from tests.unguarded import protected

CLASS, NOTES = "notes", lazystr("Notes")


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def notes() -> Iterator[list[datetime]]:
    """A class of data whose rows are moments in a list."""
    rows: list[datetime] = []

    def count(tenant_id: UUID, before: datetime) -> Counts:
        found = [at for at in rows if at < before]
        return {f"{at:%Y-%m}": {"notes": found.count(at)} for at in found}

    def erase(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
        gone = [at for at in rows if at < before and not spare]
        rows[:] = [at for at in rows if at not in gone]
        return len(gone)

    before = dict(data_classes._known)
    data_classes.register(DataClass(CLASS, NOTES, 30, 7, count, erase))
    yield rows
    data_classes._known.clear()
    data_classes._known.update(before)


def run(statement: str, *values: Any) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def days_ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def event(tenant: Tenant | None, at: datetime, *, text: bool = False) -> Event:
    made = Event.objects.create(
        at=at,
        action="completion:received",
        actor="key:x",
        tenant_id=tenant.id if tenant else None,
        request_id=uuid4(),
    )
    if text and tenant:
        key = keyring.keyring.of_subject_now(tenant.id, None).key_id
        given = {"tenant_id": tenant.id, "request_id": made.request_id, "data_key_id": key}
        Payload.objects.create(at=at, field="request", ciphertext=b"x", **given)
    return made


def let_go(hold: LegalHold) -> None:
    for person in ("b", "c"):
        legal_hold.release(hold, by=person, reason="closed")


# The floor ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("days", [-1, 0, 1, 179, 180, 183])
def test_nobody_goes_below_the_floor(tenant: Tenant, days: int) -> None:
    with pytest.raises(ValidationError, match="184"):
        periods.change(tenant.id, AUDIT, days, by="test")
    with pytest.raises(ValidationError):
        tenant.change(by="test", retention_days=days)
    for statement, values in (
        ("update tenants_tenant set retention_days = %s where id = %s", (max(days, 0), tenant.id)),
        (
            "insert into audit_retentionrule (tenant_id, data_class, days, changed_by, changed_at)"
            " values (%s, 'audit', %s, 'x', now())",
            (tenant.id, max(days, 0)),
        ),
    ):
        with pytest.raises(DatabaseError, match="at least 184"), transaction.atomic():
            run(statement, *values)
    assert periods.days_of(tenant.id, AUDIT) == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "statement",
    [
        "drop trigger tenants_retention_floor on tenants_tenant",
        "drop trigger audit_retention_floor on audit_retentionrule",
        "alter table tenants_tenant disable trigger all",
        "create or replace function audit_retention_floor(data_class text) returns integer "
        "language sql immutable as 'select 0'",
        "create or replace function audit_keep_tenant_floor() returns trigger language plpgsql "
        "as 'begin return new; end'",
        "drop function audit_retention_floor(text) cascade",
        "update audit_legalhold set released_at = null; alter table audit_legalhold disable "
        "trigger audit_hold_kept",
    ],
)
def test_no_statement_of_the_application_lowers_it(statement: str) -> None:
    denied = pytest.raises(DatabaseError, match="must be owner|permission denied")
    with protected(), denied, transaction.atomic():
        run(statement)


def test_the_tenants_days_are_the_trails(tenant: Tenant) -> None:
    """There is one figure, wherever it is changed."""
    tenant.change(by="test", retention_days=365)
    assert periods.days_of(tenant.id, AUDIT) == 365
    periods.change(tenant.id, AUDIT, 400, by="test")
    tenant.refresh_from_db()
    assert tenant.retention_days == 400
    assert not RetentionRule.objects.exists()
    told = [e.detail for e in Event.objects.filter(action="retention:change").order_by("id")]
    assert [one["days"] for one in told] == [[200, 365], [365, 400]]


def test_another_class_has_a_rule_of_its_own(tenant: Tenant, notes: list[datetime]) -> None:
    assert periods.days_of(tenant.id, CLASS) == 30
    with pytest.raises(ValidationError):
        periods.change(tenant.id, CLASS, 6, by="test")
    periods.change(tenant.id, CLASS, 7, by="member:a")
    assert periods.days_of(tenant.id, CLASS) == 7
    assert periods.days_of(uuid4(), CLASS) == 30
    (rule,) = [rule for rule in periods.rules(tenant.id) if rule.data_class.name == CLASS]
    assert (rule.days, rule.changed_by) == (7, "member:a")
    with pytest.raises(KeyError):
        periods.change(tenant.id, "nothing", 10, by="test")


# Before a change ---------------------------------------------------------------------------------
def test_a_preview_counts_and_changes_nothing(tenant: Tenant, notes: list[datetime]) -> None:
    notes += [days_ago(10), days_ago(20), days_ago(40)]
    seen = periods.preview(tenant.id, CLASS, 15)
    assert seen.total == {"notes": 2}
    assert (seen.present, seen.days, seen.hold) == (30, 15, None)
    assert len(notes) == 3
    assert periods.days_of(tenant.id, CLASS) == 30
    assert not Event.objects.filter(action="retention:change").exists()


def test_the_trail_is_counted_by_month(tenant: Tenant) -> None:
    tenant.change(by="test", retention_days=400)
    for days in (190, 210, 300):
        event(tenant, days_ago(days), text=days > 200)
    seen = periods.preview(tenant.id, AUDIT, 200)
    assert seen.total == {"events": 2, "texts": 2}
    assert set(seen.months) == {f"{days_ago(210):%Y-%m}", f"{days_ago(300):%Y-%m}"}
    assert periods.preview(tenant.id, AUDIT, 500).months == {}  # more is kept: nothing goes


def test_what_would_go_is_on_record(tenant: Tenant, notes: list[datetime]) -> None:
    notes += [days_ago(20)]
    hold = legal_hold.request(tenant.id, by="a", reason="x", expires_at=days_ago(-9))
    seen = periods.change(tenant.id, CLASS, 15, by="member:a")
    assert seen.hold == hold
    told = Event.objects.get(action="retention:change")
    assert told.detail["would_go"] == {f"{days_ago(20):%Y-%m}": {"notes": 1}}
    assert (told.actor, told.detail["days"]) == ("member:a", [30, 15])


def test_the_record_and_the_change_stand_or_fall_together(
    tenant: Tenant, notes: list[datetime]
) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        periods.change(tenant.id, CLASS, 15, by="a")
        raise RuntimeError
    assert periods.days_of(tenant.id, CLASS) == 30
    assert not Event.objects.filter(action="retention:change").exists()


# A night's work on what has no months ------------------------------------------------------------
def test_what_is_too_old_goes(tenant: Tenant, notes: list[datetime]) -> None:
    notes += [days_ago(29), days_ago(31)]
    assert pruning.prune().rows == {f"{CLASS} {tenant.id}": 1}
    assert len(notes) == 1
    told = Event.objects.get(action="audit:prune")
    assert told.detail == {"data_class": CLASS, "rows": 1, "days": 30}
    assert pruning.prune().rows == {}  # once


def test_a_lowered_retention_takes_more_and_a_raised_one_less(
    tenant: Tenant, notes: list[datetime]
) -> None:
    notes += [days_ago(10), days_ago(31), days_ago(50)]
    periods.change(tenant.id, CLASS, 40, by="test")
    assert pruning.prune().rows == {f"{CLASS} {tenant.id}": 1}
    periods.change(tenant.id, CLASS, 7, by="test")
    assert pruning.prune().rows == {f"{CLASS} {tenant.id}": 2}


def test_a_hold_keeps_it(tenant: Tenant, notes: list[datetime]) -> None:
    notes += [days_ago(50)]
    until = days_ago(-30)
    hold = legal_hold.request(tenant.id, by="a", reason="case", expires_at=until)
    assert f"{CLASS} {tenant.id}" in pruning.prune().on_hold
    let_go(hold)
    one = legal_hold.request(tenant.id, by="a", reason="case", expires_at=until, subject_id=uuid4())
    assert not pruning.prune().rows  # this class spares whoever it is
    let_go(one)
    later = legal_hold.request(
        tenant.id, by="a", reason="case", expires_at=until, covers_from=days_ago(10)
    )
    legal_hold.approve(later, by="b")
    assert legal_hold.in_force(tenant.id) == later  # of what is younger than that
    assert pruning.prune().rows == {f"{CLASS} {tenant.id}": 1}


@pytest.mark.django_db(transaction=True)
def test_each_step_has_a_transaction_of_its_own(notes: list[datetime]) -> None:
    """One that is open for long delays the seals of all tenants."""
    tenant, transactions = Tenant.open("acme", by="test"), set[object]()
    notes += [days_ago(50)] * 5

    def erase(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
        transactions.add(run("select pg_current_xact_id()::text")[0])
        gone, notes[:] = notes[:2], notes[2:]
        return len(gone)

    data_classes.register(DataClass(CLASS, NOTES, 30, 7, None, erase, step=2))
    assert pruning.prune().rows == {f"{CLASS} {tenant.id}": 5}
    assert len(transactions) == 3
    words = Event.objects.filter(action="audit:prune").order_by("id")
    assert [event.detail["rows"] for event in words] == [2, 2, 1]


def test_an_eraser_that_fails_stops_no_other(tenant: Tenant, notes: list[datetime]) -> None:
    def fails(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
        raise OSError("disk")

    notes += [days_ago(50)]
    data_classes.register(DataClass("broken", NOTES, 30, 7, None, fails))
    night = pruning.prune()
    assert night.failed == {f"broken {tenant.id}": "OSError('disk')"}
    assert night.rows == {f"{CLASS} {tenant.id}": 1}
    run_ = CheckRun.objects.get(name=pruning.CHECK)
    assert (run_.ok, "disk" in run_.problem) == (False, True)


# 201 days later ----------------------------------------------------------------------------------
@pytest.fixture
def months(transactional_db: None) -> Iterator[list[date]]:
    """Partitions of the last twenty months: of 28, 29, 30 and 31 days."""
    before = {m for (m,) in run("select relid::text from pg_partition_tree('audit_event')")}
    month, made = timezone.now().date().replace(day=1), []
    for _ in range(20):
        month = (month - timedelta(days=1)).replace(day=1)
        made.append(month)
        for table in pruning.TABLES:
            run("select audit_attach_month(%s, %s)", table, month)
    yield made[::-1]
    for table in pruning.TABLES:
        for (part,) in run("select relid::text from pg_partition_tree(%s)", table):
            if str(part).replace("payload", "event") not in before:
                run(f"drop table {part}")
    run("truncate audit_prunedmonth")


def each_day(tenant: Tenant, since: date, days: int) -> None:
    for n in range(days):
        noon = datetime(since.year, since.month, since.day, 12, tzinfo=UTC) + timedelta(days=n)
        event(tenant, noon, text=n % 10 == 0)


def over(month: date, days: int) -> bool:
    ends = month + timedelta(days=monthrange(month.year, month.month)[1])
    return ends <= (timezone.now() - timedelta(days=days)).date()


def there() -> list[date]:
    return [m for (m,) in run(pruning._MONTHS, "audit_event", r"audit\_event\_y%")]  # type: ignore[misc]


@pytest.mark.django_db(transaction=True)
def test_after_201_days_whole_months_go_and_their_roots_stay(months: list[date]) -> None:
    tenant = Tenant.open("acme", by="test")
    each_day(tenant, months[0], (timezone.now().date() - months[0]).days)
    seal.seal_due()
    seals = Seal.objects.count()
    night = pruning.prune()
    due = [month for month in months if over(month, 200)]
    assert len(due) >= 12
    assert {monthrange(m.year, m.month)[1] for m in due} >= {28, 30, 31}
    assert not night.failed
    for month in due:
        days = monthrange(month.year, month.month)[1]
        assert night.rows[f"audit_event {month:%Y-%m}"] == days
        pruned = PrunedMonth.objects.get(table="audit_event", month=month)
        assert (pruned.rows, pruned.first_seal is not None) == (days, True)
    assert [month for month in there() if month in months] == months[len(due) :]
    oldest = Event.objects.order_by("at").values_list("at", flat=True)[0]
    assert oldest.date() == months[len(due)]  # not a day too many, not one too few
    assert Payload.objects.order_by("at")[0].at > days_ago(200)  # texts go by the day
    assert Seal.objects.count() == seals
    words = Event.objects.filter(action="audit:prune", tenant_id=None)
    assert words.count() == 2 * len(due)
    assert pruning.prune().rows == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("days", [184, 200, 201, 365])
def test_the_longest_retention_of_any_tenant_decides(months: list[date], days: int) -> None:
    Tenant.open("acme", by="test", retention_days=184)
    Tenant.open("globex", by="test", retention_days=days)
    pruning.prune()
    kept = max(days, 200)  # the platform's own events have the usual time
    assert [m for m in there() if m in months] == [m for m in months if not over(m, kept)]


@pytest.mark.django_db(transaction=True)
def test_texts_of_a_tenant_that_keeps_less_go_before(months: list[date]) -> None:
    short = Tenant.open("acme", by="test", retention_days=184)
    long = Tenant.open("globex", by="test", retention_days=600)
    for tenant in (short, long):
        for days in (180, 190, 300):
            event(tenant, days_ago(days), text=True)
    seal.seal_due()
    night = pruning.prune()
    assert night.rows == {f"texts {short.id}": 2}
    assert Payload.objects.filter(tenant_id=short.id).count() == 1
    assert Payload.objects.filter(tenant_id=long.id).count() == 3
    assert Event.objects.filter(action="completion:received").count() == 6
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        run("delete from audit_payload")  # nor is the other tenant's to be had like this


@pytest.mark.django_db(transaction=True)
def test_a_month_that_is_not_under_seal_stays(months: list[date]) -> None:
    tenant = Tenant.open("acme", by="test")
    day = months[3] + timedelta(days=4)
    event(tenant, datetime(day.year, day.month, day.day, tzinfo=UTC))
    night = pruning.prune()
    assert set(night.failed) == {f"{table} {months[3]:%Y-%m}" for table in pruning.TABLES}
    assert "not under seal" in next(iter(night.failed.values()))
    assert months[3] in there()
    assert months[2] not in there()
    seal.seal_due()
    assert pruning.prune().failed == {}
    assert months[3] not in there()


@pytest.mark.django_db(transaction=True)
def test_a_held_month_stays_until_the_hold_is_over(months: list[date]) -> None:
    tenant = Tenant.open("acme", by="test")
    begins = datetime(months[2].year, months[2].month, 5, tzinfo=UTC)
    hold = legal_hold.request(
        tenant.id,
        by="a",
        reason="case",
        expires_at=days_ago(-30),
        covers_from=begins,
        covers_until=begins + timedelta(hours=1),
    )
    night = pruning.prune()
    name = f"{months[2]:%Y-%m}"
    assert set(night.on_hold) >= {f"audit_payload {name}", f"audit_event {name}"}
    assert not any(kept.startswith("audit_") and name not in kept for kept in night.on_hold)
    assert months[2] in there()
    assert months[1] not in there()
    let_go(hold)
    assert pruning.prune().on_hold == {}
    assert months[2] not in there()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("parent", pruning.TABLES)
def test_what_is_too_young_cannot_be_dropped_by_the_application(
    months: list[date], parent: str
) -> None:
    Tenant.open("acme", by="test", retention_days=184)
    for month in (*months[-6:], timezone.now().date().replace(day=1)):
        with pytest.raises(DatabaseError, match="younger"), transaction.atomic():
            run("select audit_prune_month(%s, %s)", parent, month)


@pytest.mark.django_db(transaction=True)
def test_an_old_export_verifies_when_its_months_are_gone(
    months: list[date], tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FOREBAY_HOME = tmp_path
    monkeypatch.setattr(export_file, "wake", lambda task: None)
    tenant = Tenant.open("acme", by="test")
    each_day(tenant, months[0], 90)
    seal.seal_due()
    until = datetime(months[3].year, months[3].month, 1, tzinfo=UTC)
    export = trail_export.ask(tenant.id, Filters(until=until), "jsonl", by="test")
    assert trail_export.work() == 1
    export.refresh_from_db()
    assert export.state == "ready", export.problem
    file = tmp_path / "export.jsonl"
    file.write_bytes(b"".join(trail_export.download(export, by="test")))
    pruning.prune()
    assert not Event.objects.filter(action="completion:received").exists()
    result = forebay_verify.verify_export(file, [signing.public_key()])
    assert result.ok, result.findings
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len([line for line in lines if "completion:received" in str(line)]) >= 89
    text = file.read_text().replace("key:x", "key:y", 1)
    file.write_text(text)
    with contextlib.suppress(forebay_verify.Broken):
        assert not forebay_verify.verify_export(file, [signing.public_key()]).ok
