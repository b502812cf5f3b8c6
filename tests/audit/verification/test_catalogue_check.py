"""What somebody loosened in the catalogue is found within a minute, and put on record once."""

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.utils import timezone

from audit.actions import Action
from audit.checks import catalogue_check
from audit.models import CheckRun, Event
from audit.trail import shipped_sql
from audit.trail.record import act
from tests.unguarded import administrator, as_shipped, protected

MONTH = f"audit_event_y{datetime.now(UTC):%Y_m%m}"


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def shipped(db: None) -> None:
    run(as_shipped())
    assert catalogue_check.problems() == []


DAMAGE = [
    (
        f"alter table {MONTH} disable trigger audit_append_only",
        f"{MONTH}: trigger audit_append_only",
    ),
    (f"alter table {MONTH} disable trigger all", f"{MONTH}: trigger audit_no_truncate"),
    ("alter table audit_seal disable trigger user", "audit_seal: trigger audit_append_only"),
    ("alter table audit_payload disable trigger audit_append_only", "audit_payload: trigger"),
    ("drop trigger audit_no_truncate on audit_checkpoint", "audit_checkpoint: trigger"),
    ("drop trigger audit_append_only on tenants_ledgerentry", "tenants_ledgerentry: trigger"),
    (
        "create or replace trigger audit_append_only before update or delete on audit_tombstone "
        "for each row when (false) execute function audit_refuse_change()",
        "audit_tombstone: trigger audit_append_only is missing, disabled or different",
    ),
    (
        "create or replace trigger audit_append_only before update on audit_seal "
        "for each row execute function audit_refuse_change()",
        "audit_seal: trigger audit_append_only is missing, disabled or different",
    ),
    (
        "create function swallow() returns trigger language plpgsql as "
        "'begin return null; end'; create trigger swallow before insert on audit_event "
        "for each row execute function swallow()",
        "audit_event: trigger swallow is not ours",
    ),
    (
        "create rule deaf as on insert to audit_checkpoint do instead nothing",
        "audit_checkpoint: rule deaf is not ours",
    ),
    (f"alter table {MONTH} no force row level security", f"{MONTH}: row-level security"),
    (f"alter table {MONTH} disable row level security", f"{MONTH}: row-level security"),
    (f"create policy open on {MONTH} using (true)", f"{MONTH}: policies are not those"),
    (f"drop policy forebay_tenant on {MONTH}", f"{MONTH}: policies are not those"),
    (f"alter policy forebay_tenant on {MONTH} using (true)", f"{MONTH}: policies are not those"),
    (f"drop table {MONTH}", f"partition {MONTH} is missing"),
    (f"alter table audit_event detach partition {MONTH}", f"partition {MONTH} is missing"),
    ("drop function audit_refuse_change() cascade", "function audit_refuse_change is missing"),
    (
        "create or replace function audit_refuse_change() returns trigger language plpgsql as "
        "'begin return new; end'",
        "function audit_refuse_change is different",
    ),
    (
        "create function audit_prune_month(t text, m text) returns bigint language sql "
        "as 'select 0::bigint'",
        "function audit_prune_month is there more than once",
    ),
    ("alter function audit_erase_texts(uuid[]) security invoker", "audit_erase_texts is different"),
    (
        "alter function audit_erase_texts(uuid[]) set search_path = pg_temp, public",
        "audit_erase_texts is different",
    ),
    (
        "alter function audit_erase_texts(uuid[]) reset search_path",
        "function audit_erase_texts is different",
    ),
    ("drop table audit_tombstone", "table audit_tombstone is missing"),
    *[
        (f"drop trigger {name} on {table}", f"{table}: trigger {name} is missing")
        for table, name in (
            ("audit_legalhold", "audit_hold_kept"),
            ("audit_retentionrule", "audit_retention_floor"),
            ("tenants_tenant", "tenants_retention_floor"),
            ("audit_datakey", "audit_held_key"),
            ("audit_datakey", "audit_keys_destroyed"),
            ("audit_datakey", "audit_keys_replaced"),
            ("audit_deletionrequest", "audit_subject_restricted"),
            ("audit_sealmark", "audit_mark_kept"),
        )
    ],
    ("alter table audit_legalhold disable trigger user", "audit_legalhold: trigger"),
    (
        "create or replace trigger tenants_retention_floor before insert or update of name "
        "on tenants_tenant for each row execute function audit_keep_tenant_floor()",
        "tenants_tenant: trigger tenants_retention_floor is missing, disabled or different",
    ),
    (
        "create or replace trigger audit_hold_kept before insert or update on audit_legalhold "
        "for each row execute function audit_keep_hold()",
        "audit_legalhold: trigger audit_hold_kept is missing, disabled or different",
    ),
    (
        "create or replace trigger audit_hold_kept before insert or update or delete on "
        "audit_legalhold for each row when (false) execute function audit_keep_hold()",
        "audit_legalhold: trigger audit_hold_kept is missing, disabled or different",
    ),
    *[
        (f"alter table {table} drop constraint {name}", f"constraint {name} is missing")
        for table, name in shipped_sql.CHECKS
    ],
    (
        "alter table audit_legalhold drop constraint audit_hold_two_people, "
        "add constraint audit_hold_two_people check (true)",
        "audit_legalhold: constraint audit_hold_two_people is missing or different",
    ),
    (
        "insert into audit_event (at, action, actor, route, model, upstream, success, error_code, "
        "detail) values ('2001-01-01', 'x', '', '', '', '', true, '', '{}')",
        "rows lie in no month",
    ),
]


def test_every_trigger_that_is_shipped_is_looked_at() -> None:
    text = "".join(path.read_text() for path in shipped_sql.FOLDER.glob("*.sql"))
    there = set(re.findall(r"trigger (\w+) (?:before|after)", text))
    assert there == {one.name for one in shipped_sql.triggers()} | {
        "audit_append_only",
        "audit_no_truncate",
    }


@pytest.mark.django_db
@pytest.mark.parametrize(("damage", "problem"), DAMAGE)
def test_damage_is_found(damage: str, problem: str, shipped: None) -> None:
    run(damage)
    found = catalogue_check.problems()
    assert [one for one in found if problem in one], found


@pytest.mark.django_db(transaction=True)
class TestRoles:
    @pytest.fixture(autouse=True)
    def _protected(self, transactional_db: None) -> Iterator[None]:
        with protected():
            assert catalogue_check.problems() == []
            yield

    @pytest.mark.parametrize(
        ("damage", "problem"),
        [
            ("grant update on audit_event to forebay", "audit_event: granted to forebay UPDATE"),
            ("grant delete on audit_seal to public", "audit_seal: granted to public DELETE"),
            ("grant truncate on audit_payload to forebay", "granted to forebay TRUNCATE"),
            ("grant trigger on audit_payload to forebay", "granted to forebay TRIGGER"),
            (f"grant select on {MONTH} to forebay", f"{MONTH}: granted to forebay SELECT"),
            ("grant update (actor) on audit_event to forebay", "audit_event: granted to column"),
            ("grant insert on audit_prunedmonth to forebay", "audit_prunedmonth: granted"),
            (f"alter table {MONTH} owner to forebay", f"{MONTH} belongs to forebay"),
            ("alter table audit_seal owner to forebay", "audit_seal belongs to forebay"),
            ("alter function audit_refuse_change() owner to forebay", "belongs to forebay"),
            ("alter role forebay_owner login", "forebay_owner can sign in"),
            ("alter role forebay_owner superuser", "forebay_owner can sign in"),
            ("grant forebay_owner to forebay", "the application can become forebay_owner"),
            ("grant create on schema public to forebay", "the application may create tables"),
            ("do $$ begin execute 'alter database ' || current_database() || ' owner to forebay'; "
             "end $$", "the database does not belong to forebay_owner"),
            ("alter table audit_event disable trigger user", "audit_event: trigger"),
            ("set local session_replication_role = replica", "no trigger fires"),
        ],
    )  # fmt: skip
    def test_damage_is_found(self, damage: str, problem: str) -> None:
        with administrator():
            run(damage)
        found = catalogue_check.problems()
        assert [one for one in found if problem in one], found


# What becomes of it -----------------------------------------------------------------------------
@pytest.mark.django_db
class TestRecord:
    def test_all_is_well(self, shipped: None) -> None:
        made = catalogue_check.run()
        assert (made.ok, made.problem, made.figures["problems"]) == (True, "", [])
        assert not Event.objects.filter(action=Action.AUDIT_DRIFT).exists()

    def test_it_is_told_once(self, shipped: None) -> None:
        run("alter table audit_seal disable trigger user")
        for _ in range(3):
            assert not catalogue_check.run().ok
        event = Event.objects.get(action=Action.AUDIT_DRIFT)
        assert (event.success, event.detail["count"]) == (False, 2)
        assert "audit_seal" in event.detail["problems"][0]
        run("alter table audit_checkpoint disable trigger user")
        catalogue_check.run()
        assert Event.objects.filter(action=Action.AUDIT_DRIFT).count() == 2
        assert CheckRun.objects.filter(name=catalogue_check.NAME).count() == 4

    def test_it_is_logged(
        self,
        shipped: None,
        caplog: pytest.LogCaptureFixture,
        django_capture_on_commit_callbacks: object,
    ) -> None:
        run("alter table audit_seal disable trigger user")
        with (
            caplog.at_level(logging.ERROR),
            django_capture_on_commit_callbacks(execute=True),  # type: ignore[operator]
        ):
            catalogue_check.run()
        assert "table audit_seal: trigger audit_append_only" in caplog.text

    def test_events_that_wait_for_their_seal(self, shipped: None) -> None:
        act(Action.TENANT_CHANGE, actor="test")
        assert catalogue_check.run().ok
        Event.objects.create(
            at=timezone.now() - timedelta(seconds=90), action=Action.TENANT_CHANGE, actor="test",
            xid=1,
        )  # fmt: skip
        made = catalogue_check.run()
        assert made.figures["problems"] == [catalogue_check.WAITING]
        assert 89 < made.figures["unsealed_s"] < 100

    def test_what_was_found_long_ago_goes(self, shipped: None) -> None:
        old = catalogue_check.run()
        CheckRun.objects.filter(pk=old.pk).update(
            at=old.at - catalogue_check.KEPT - timedelta(minutes=1)
        )
        catalogue_check.run()
        assert CheckRun.objects.filter(name=catalogue_check.NAME).count() == 1

    def test_django_says_it_at_each_start(self, shipped: None) -> None:
        run("alter table audit_seal disable trigger user")
        with pytest.raises(SystemCheckError, match="table audit_seal: trigger audit_append_only"):
            call_command("check", databases=["default"], fail_level="WARNING")

    def test_the_command(self, shipped: None) -> None:
        said = StringIO()
        call_command("audit_check", stdout=said)
        assert "as it should be" in said.getvalue()
        assert "audit_protect" in said.getvalue()  # these tables are the application's own
        run("alter table audit_seal disable trigger user")
        with pytest.raises(CommandError, match="2 problems"):
            call_command("audit_check", stdout=said)
        assert "- table audit_seal: trigger audit_append_only" in said.getvalue()

    def test_migrate_mends_it(self, shipped: None) -> None:
        run("alter table audit_seal disable trigger user")
        run(f"alter table {MONTH} disable trigger user")
        run(f"drop trigger audit_no_truncate on {MONTH}")
        run("create or replace function audit_refuse_change() returns trigger "
            "language plpgsql as 'begin return new; end'")  # fmt: skip
        call_command("migrate", verbosity=0)
        run(as_shipped())
        assert catalogue_check.problems() == []
