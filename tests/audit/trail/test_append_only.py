"""Nothing on record is changed, and the application could not if it tried."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from audit.actions import Action
from audit.models import DataKey, Event, LegalHold, Payload
from audit.retention import legal_hold
from audit.trail import append_only, database_owner, partitions, record
from audit.trail.record import act
from tests.unguarded import as_shipped, protected

FORBIDDEN = "append-only|permission denied|must be owner"
EVERY_TABLE = """
    select t::text from unnest(%s::regclass[]) t
    union select relid::text from unnest(%s::regclass[]) p, pg_partition_tree(p) order by 1"""


def run(statement: str, values: object = None) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def refused(statement: str, because: str = FORBIDDEN) -> None:
    with pytest.raises(DatabaseError, match=because), transaction.atomic():
        run(statement)


def every_table() -> list[str]:
    found = run(EVERY_TABLE, [append_only.tables(), list(append_only.PARTITIONED)])
    assert len(found) >= len(append_only.tables()) + 2 * (partitions.MONTHS_AHEAD + 2)
    return [str(name) for (name,) in found]


def a_row_in_each() -> None:
    act(Action.TENANT_CHANGE, actor="test", tenant_id=uuid4())


# Where nobody has handed the tables over --------------------------------------------------------
@pytest.mark.django_db
class TestTriggers:
    @pytest.fixture(autouse=True)
    def _as_shipped(self, db: None) -> None:
        run(as_shipped())

    def test_nothing_is_truncated(self) -> None:
        for table in every_table():
            refused(f"truncate {table} cascade", "no truncate")

    def test_an_event_is_neither_changed_nor_deleted(self) -> None:
        a_row_in_each()
        (part,) = run("select tableoid::regclass::text from audit_event limit 1")[0]
        for table in ("audit_event", part):
            refused(f"update {table} set actor = 'nobody'", "append-only: no update")
            refused(f"delete from {table}", "append-only: no delete")
        assert Event.objects.filter(actor="test").exists()

    def test_nor_is_one_put_where_another_month_is(self) -> None:
        a_row_in_each()
        refused("update audit_event set at = at + interval '40 days'", "append-only")


# Where an administrator has ---------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
class TestRoles:
    @pytest.fixture(autouse=True)
    def _protected(self, transactional_db: None) -> Iterator[None]:
        with protected():
            yield

    def test_every_table_and_partition_refuses(self) -> None:
        a_row_in_each()
        for table in every_table():
            for statement in (
                f"update {table} set {_a_column(table)} = {_a_column(table)}",
                f"delete from {table}",
                f"truncate {table}",
                f"truncate {table} cascade",
                f"drop table {table} cascade",
                f"alter table {table} disable trigger all",
                f"alter table {table} disable row level security",
                f"alter table {table} add column more int",
                f"alter table {table} rename to other",
                f"alter table {table} owner to current_user",
                f"create trigger mine before insert on {table} for each row "
                "execute function audit_refuse_change()",
                f"create rule mine as on insert to {table} do instead nothing",
                f"create policy mine on {table} using (true)",
                f"drop trigger audit_no_truncate on {table}",
                f"create index on {table} (id)",
                f"lock table {table} in access exclusive mode",
            ):
                refused(statement)

    def test_partitions_are_reached_through_their_table_alone(self) -> None:
        for table in set(every_table()) - set(append_only.tables()):
            refused(f"select from {table}", "permission denied")
            refused(f"insert into {table} (id) values (0)", "permission denied")

    @pytest.mark.parametrize(
        "statement",
        [
            "set session_replication_role = replica",
            "set role forebay_owner",
            "drop schema public cascade",
            "drop function audit_refuse_change() cascade",
            "alter function audit_prune_month(text, date) owner to current_user",
            "create or replace function audit_longest_retention() returns integer "
            "language sql as 'select 0'",
            "create function public.mine() returns int language sql as 'select 1'",
            "create schema mine",
            "alter schema public owner to current_user",
            "alter event trigger x disable",
            "grant forebay_owner to current_user",
            "drop owned by forebay_owner",
            "reassign owned by forebay_owner to current_user",
            "update pg_trigger set tgenabled = 'D'",
            "select setval('audit_event_seq', 1)",
            "alter sequence audit_event_seq restart",
            'insert into audit_prunedmonth ("table", month, rows, pruned_at) '
            "values ('audit_event', '2020-01-01', 1, now())",
        ],
    )
    def test_nor_is_there_a_way_round(self, statement: str) -> None:
        refused(statement, f"{FORBIDDEN}|cannot|does not exist|Only roles with")

    def test_granting_oneself_more_grants_nothing(self) -> None:
        for table in every_table():
            with suppress(DatabaseError), transaction.atomic():  # for some it is only a warning
                run(f"grant all on {table} to current_user")
            refused(f"update {table} set {_a_column(table)} = {_a_column(table)}")
            refused(f"truncate {table}")

    def test_a_temporary_table_does_not_stand_in_for_the_keys(self) -> None:
        payload = a_text()
        run("create temp table audit_datakey (id uuid)")
        run("create temp table audit_legalhold as select * from public.audit_legalhold")
        refused(f"select audit_erase_texts(array['{payload.data_key_id}'::uuid])", "after its key")

    def test_the_application_works_as_before(self) -> None:
        act(Action.TENANT_CHANGE, actor="test")
        assert Event.objects.filter(actor="test").count() == 1
        assert partitions.make() == []
        payload = a_text()
        DataKey.objects.get(pk=payload.data_key_id).delete()
        assert erase(payload) == 1

    def test_requests_are_put_on_record_once(self) -> None:
        row = {"id": str(uuid4()), "at": timezone.now().isoformat(), "actor": "key", "route": ""}
        row |= {"tenant_id": str(uuid4()), "data_key_id": str(uuid4()), "model": "", "request": ""}
        columns, into = record.RECEIVED_COLUMNS, record.RECEIVED
        rows = f"select * from jsonb_to_recordset(%s::jsonb) as x({columns})"
        statement = f"with opened as ({rows}),{into} select"
        run(statement, [orjson.dumps([row]).decode()])
        with pytest.raises(IntegrityError, match="unique"), transaction.atomic():
            run(statement, [orjson.dumps([row]).decode()])
        assert Event.objects.filter(request_id=row["id"]).count() == 1
        assert Payload.objects.filter(request_id=row["id"]).count() == 1

    def test_months_are_made(self) -> None:
        (made,) = run("select audit_make_partitions(9)")[0]
        assert len(made) == 12  # type: ignore[arg-type]
        refused(f"drop table {made[0]}", "must be owner")  # type: ignore[index]
        refused(f"delete from {made[0]}", "permission denied")  # type: ignore[index]

    def test_handing_over_again_changes_nothing(self) -> None:
        from tests.unguarded import administrator

        with administrator():
            database_owner.enforce("forebay")
            assert database_owner.owner_exists()
        assert not database_owner.may_change()


def _a_column(table: str) -> str:
    return str(
        run(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum = 1", [table]
        )[0][0]
    )


# Texts ------------------------------------------------------------------------------------------
def a_text(**more: object) -> Payload:
    key = DataKey.objects.create(tenant_id=uuid4(), subject_id=uuid4(), wrapped=b"")
    at = datetime.now(UTC)
    request = uuid4()
    Event.objects.create(
        at=at,
        action=Action.COMPLETION_RECEIVED,
        tenant_id=key.tenant_id,
        subject_id=key.subject_id,
        request_id=request,
        actor="test",
    )
    same = {"at": at, "tenant_id": key.tenant_id, "request_id": request, **more}
    return Payload.objects.create(field="request", data_key=key, ciphertext=b"x", **same)


def erase(*texts: Payload) -> int:
    return partitions.erase_texts([text.data_key_id for text in texts])


def hold(text: Payload, **more: object) -> LegalHold:
    expires = timezone.now() + timedelta(days=1)
    same = {"reason": "court", "requested_by": "a", "expires_at": expires, **more}
    return LegalHold.objects.create(tenant_id=text.tenant_id, **same)


@pytest.mark.django_db
class TestTexts:
    def test_a_text_goes_after_its_key(self) -> None:
        gone, stays = a_text(), a_text()
        with pytest.raises(DatabaseError, match="after its key"), transaction.atomic():
            erase(gone)
        DataKey.objects.filter(pk=gone.data_key_id).delete()
        with pytest.raises(DatabaseError, match="after its key"), transaction.atomic():
            erase(gone, stays)  # all or nothing
        assert Payload.objects.count() == 2
        assert partitions.erase_texts([]) == 0
        assert erase(gone) == 1
        assert erase(gone) == 0
        assert Payload.objects.get() == stays

    def test_nobody_changes_one(self) -> None:
        text = a_text()
        refused("update audit_payload set ciphertext = 'y'", "no update")
        refused("delete from audit_payload", "after its key")
        DataKey.objects.all().delete()
        refused("update audit_payload set ciphertext = 'y'", "no update")
        assert Payload.objects.get() == text

    @pytest.mark.parametrize("whose", ["everybody", "theirs", "nobody knows"])
    def test_a_hold_keeps_it(self, whose: str) -> None:
        text = a_text(**({"request_id": uuid4()} if whose == "nobody knows" else {}))
        key = DataKey.objects.get(pk=text.data_key_id)
        subject = {"theirs": key.subject_id, "nobody knows": uuid4()}.get(whose)
        key.delete()
        held = hold(text, subject_id=subject)
        with pytest.raises(partitions.HoldInForce, match="legal hold"):
            erase(text)
        for person in ("c", "d"):
            legal_hold.release(held, by=person, reason="over")
        assert erase(text) == 1

    def test_a_hold_over_something_else_does_not(self) -> None:
        text = a_text()
        DataKey.objects.all().delete()
        hold(text, subject_id=uuid4())
        hold(text, covers_until=timezone.now() - timedelta(days=1))
        hold(text, covers_from=timezone.now() + timedelta(days=1))
        hold(text, expires_at=timezone.now() - timedelta(seconds=1))
        old = hold(text)
        run("alter table audit_legalhold disable trigger audit_hold_kept")
        LegalHold.objects.filter(pk=old.pk).update(waits_until=timezone.now())
        assert erase(text) == 1

    def test_what_one_sees_is_what_one_saw_before(self) -> None:
        """The functions look at every tenant's rows; nobody else does by them."""
        text = a_text()
        DataKey.objects.all().delete()
        run("set local forebay.system to ''")
        assert erase(text) == 1
        partitions.make()
        assert run("select current_setting('forebay.system'), count(*) from audit_event") == [
            ("", 0)
        ]
        run("set local forebay.system to 'on'")
