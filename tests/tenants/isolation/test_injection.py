"""An SQL injection in a tenant's request reaches no other tenant, whatever it sets."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import keyring
from audit.models import DataKey, Event
from audit.trail import database_owner
from console.authorization import permitted
from tenants import secret_keys
from tenants.accounts import person_acts
from tenants.accounts.sessions import SessionStore, end_sessions
from tenants.isolation import check, row_security
from tenants.models import Member, OperatorKey, Tenant, TextLock, User
from tenants.roles import Permission, Role
from tenants.scope import person_scope, tenant_scope
from tests.unguarded import administrator, as_requests, protected

pytestmark = pytest.mark.django_db(transaction=True)
SET = "select set_config(%s, %s, true)"


@pytest.fixture
def alice() -> Member:
    return _owner("acme", "alice@acme.example")


@pytest.fixture
def charlie() -> Member:
    return _owner("globex", "charlie@globex.example")


def _owner(name: str, email: str) -> Member:
    user = User.objects.create_user(email)
    member: Member = Tenant.open(name, by="test").add_member(user, Role.OWNER, by="test")
    return member


@pytest.fixture
def request_role(alice: Member, charlie: Member) -> Iterator[None]:
    """As an installation is: tables handed over, requests on a role of their own."""
    with protected(), as_requests():
        yield


def others_rows(tenant: Tenant) -> dict[str, int]:
    """How many rows of other tenants this connection sees now, by table."""
    seen: dict[str, int] = {}
    with connection.cursor() as cursor:
        for model in row_security.guarded_models():
            columns = {field.column for field in model._meta.concrete_fields}
            table = model._meta.db_table
            column = "id" if table == "tenants_tenant" else "tenant_id"
            where = f"where {column} <> %s" if column in columns else "where %s is null"
            cursor.execute(f'select count(*) from "{table}" {where}', [str(tenant.id)])
            if count := cursor.fetchone()[0]:
                seen[table] = count
    return seen


@pytest.mark.parametrize(
    "injected",
    [
        [("forebay.system", "on")],
        [("forebay.tenant", "{globex}")],
        [("forebay.tenant", "{globex}"), ("forebay.user", "")],
        [("forebay.user", "{charlie}")],
        [("forebay.tenant", ""), ("forebay.user", "{charlie}"), ("forebay.system", "on")],
        [("forebay.proof", ""), ("forebay.tenant", "{globex}"), ("forebay.system", "on")],
        [("role", "forebay"), ("forebay.system", "on")],
        [("role", "forebay_system"), ("forebay.system", "on")],
        [("row_security", "off")],
    ],
)
def test_a_request_sees_its_tenant_alone(
    injected: list[tuple[str, str]], alice: Member, charlie: Member, request_role: None
) -> None:
    names = {"globex": charlie.tenant_id, "charlie": charlie.user_id}
    seen: list[dict[str, int]] = []

    @permitted(Permission.VIEW_USAGE)
    def page(request: Any) -> HttpResponse:
        assert Tenant.objects.get() == alice.tenant
        for name, value in injected:
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(SET, [name, value.format(**names)])
                    others = others_rows(alice.tenant)
            except DatabaseError:
                continue  # PostgreSQL said no
            seen.append(others)
        return HttpResponse()

    request = RequestFactory().get("/")
    request.user, request.session = alice.user, SessionStore()
    request.htmx = False  # type: ignore[attr-defined]
    assert page(request, tenant="acme").status_code == 200
    assert not any(seen), seen


def test_its_own_scope_still_opens(alice: Member, charlie: Member, request_role: None) -> None:
    with tenant_scope(alice.tenant_id):
        assert Event.objects.filter(tenant_id=alice.tenant_id).exists()
    with person_scope(charlie.user_id):
        assert Member.objects.get() == charlie


def test_the_key_is_out_of_reach(request_role: None) -> None:
    for statement in (
        "select * from tenants_scopekey",
        "update tenants_scopekey set inner_pad = ''",
        "select tenants_record_own_act('session:start', 'user:1', true, null, '{}')",
        "insert into audit_checkpoint (n) values (1)",
        "select audit_prune_month('audit_event', '2020-01-01')",
    ):
        with (
            pytest.raises(DatabaseError, match="permission denied|somebody else"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


def test_requests_find_the_key_of_an_operator_by_its_digest_and_see_no_row_of_it(
    charlie: Member, request: pytest.FixtureRequest
) -> None:
    """As the management API does, before it is known who asks."""
    maker = User.objects.create_user("op@forebay.example", is_operator=True)
    ends = timezone.now() + timedelta(days=1)
    key, text = OperatorKey.issue(maker, "ci", scopes=["engines:read"], expires_at=ends)
    request.getfixturevalue("request_role")
    with connection.cursor() as cursor:
        for digest, id_of_key in ((secret_keys.digest(text), key.pk), (b"x", None)):
            cursor.execute("select tenants_operator_key(%s)", [digest])
            assert cursor.fetchone()[0] == id_of_key
        cursor.execute("select count(*) from tenants_operatorkey")
        assert cursor.fetchone()[0] == 0
    for person, seen in ((charlie.user_id, 0), (maker.pk, 1)):
        with person_scope(person):
            assert OperatorKey.objects.count() == seen
            assert not OperatorKey.objects.update(revoked_at=None, scopes=["engines:write"])


@pytest.mark.parametrize(
    "statement",
    [
        "select lo_create(0)",
        "select lo_creat(-1)",
        "select lo_from_bytea(0, 'x')",
        "select lo_put(1, 0, 'x')",
        "select lo_get(1)",
        "select lo_open(1, 393216)",
        "select lo_unlink(1)",
        "select lowrite(0, 'x')",
        "select loread(0, 1)",
        "create temporary table many (id int)",
        "create table public.many (id int)",
    ],
)
def test_requests_store_nothing_outside_of_the_tables(request_role: None, statement: str) -> None:
    with (
        pytest.raises(DatabaseError, match="permission denied"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_one_role_for_both_is_a_problem(request_role: None, settings: Any) -> None:
    assert check.requests_problem().startswith("requests connect as forebay, which")
    settings.REQUESTS_DATABASE_URL = "postgres://forebay_requests@127.0.0.1/forebay"
    assert check.requests_problem() == ""
    with administrator():
        connection.cursor().execute("grant forebay_system to forebay_requests")
    assert "forebay_requests, which may open" in check.requests_problem()


def test_what_requests_share_is_a_problem_unless_it_is_hidden(
    request_role: None, settings: Any
) -> None:
    settings.REQUESTS_DATABASE_URL = "postgres://forebay_requests@127.0.0.1/forebay"
    with administrator(back="forebay_requests"):
        connection.cursor().execute("alter role forebay_requests reset track_activities")
    assert "pg_stat_activity: run `manage.py audit_protect` again" in (check.requests_problem())


@pytest.mark.parametrize("xid", [0, 2**61])
def test_no_event_evades_its_seal(xid: int, alice: Member, request_role: None) -> None:
    """It would keep its month from being dropped, with the events of all tenants."""
    insert = (
        "insert into audit_event (at, action, tenant_id, actor, route, model, upstream, success,"
        " error_code, detail, xid) values (now(), 'session:login', %s, 'x', '', '', '', true, '',"
        " '{}', %s)"
    )
    with (
        pytest.raises(DatabaseError, match="the transaction that writes it"),
        tenant_scope(alice.tenant_id),
        connection.cursor() as cursor,
    ):
        cursor.execute(insert, [str(alice.tenant_id), xid])


def test_it_is_said_which_role_is_not_there(request_role: None) -> None:
    with (
        administrator(back="forebay_requests"),
        pytest.raises(database_owner.CannotProtect, match="there is no role nobody"),
    ):
        database_owner.enforce("nobody")


def test_what_is_the_platforms_is_read_only(request_role: None) -> None:
    for table, column in (
        ("tenants_price", "model"),
        ("tenants_tierpolicy", "tier"),
        ("audit_keymark", "id"),
        ("inference_rollupmark", "id"),
        ("inference_model", "name"),
        ("inference_pool", "name"),
        ("inference_engine", "url"),
        ("django_content_type", "id"),
        ("auth_permission", "id"),
    ):
        with connection.cursor() as cursor:
            cursor.execute(f"select count(*) from {table}")
        with (
            pytest.raises(DatabaseError, match="permission denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"update {table} set {column} = {column}")


def test_a_destroyed_key_is_counted_all_the_same(alice: Member, request_role: None) -> None:
    """By a function of the owner: requests cannot set the count back."""
    with tenant_scope(alice.tenant_id), connection.cursor() as cursor:
        cursor.execute("select coalesce(max(generation), 0) from audit_keymark")
        before = cursor.fetchone()[0]
        keyring.of_subject_now(alice.tenant_id, alice.subject_id)
        DataKey.objects.filter(tenant_id=alice.tenant_id, subject_id=alice.subject_id).delete()
        cursor.execute("set constraints all immediate")
        cursor.execute("select generation > %s from audit_keymark", [before])
        assert cursor.fetchone()[0]


def test_no_schema_of_ones_own_stands_in_for_the_scopes_functions(
    alice: Member, charlie: Member, request_role: None
) -> None:
    """Where a database has a schema that anybody may write to."""
    with administrator(back="forebay_requests"):
        connection.cursor().execute(
            "create schema playground; grant all on schema playground to public"
        )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "create function playground.tenants_scope_is_proven() returns boolean"
            " language sql as 'select true'"
        )
        cursor.execute("set local search_path to playground, public")
        cursor.execute(SET, ["forebay.tenant", str(charlie.tenant_id)])
        cursor.execute("select count(*) from tenants_tenant")
        assert cursor.fetchone()[0] == 0


@pytest.fixture
def signed_in(charlie: Member) -> str:
    """The key of charlie's session."""
    session = SessionStore()
    session["of"] = "charlie"
    session.save()
    key = str(session.session_key)
    UserSession.objects.create(user=charlie.user, session_key=key, ip="192.0.2.1", user_agent="x")
    return key


def test_a_session_is_there_for_its_key_alone(
    signed_in: str, alice: Member, charlie: Member, request_role: None
) -> None:
    with tenant_scope(alice.tenant_id, alice.user_id), connection.cursor() as cursor:
        for table in ("django_session", "usersessions_usersession"):
            cursor.execute(f"select session_key from {table}")
            assert cursor.fetchall() == []
    assert SessionStore(signed_in).load() == {"of": "charlie"}
    assert end_sessions(charlie.user) == 1
    assert SessionStore(signed_in).load() == {}


@pytest.mark.parametrize(
    "statement",
    [
        "update tenants_user set is_operator = true where id = %(alice)s",
        "update tenants_user set email = 'invited@globex.example' where id = %(alice)s",
        "update tenants_user set password = '' where id = %(charlie)s",
        "delete from mfa_authenticator where user_id = %(charlie)s",
        "delete from tenants_textlock where user_id = %(charlie)s",
        "insert into socialaccount_socialaccount"
        " (user_id, provider, uid, extra_data, last_login, date_joined)"
        " values (%(charlie)s, 'x', 'x', '{}', now(), now())",
        "insert into tenants_user (email, password, name, is_active, is_operator, is_superuser,"
        " created_at, password_changed_at)"
        " values ('x@x.example', '', '', true, true, false, now(), now())",
    ],
)
def test_nobody_elses_account_is_changed(
    statement: str, alice: Member, charlie: Member, request_role: None
) -> None:
    ids = {"alice": alice.user_id, "charlie": charlie.user_id}
    with administrator(back="forebay_requests"):
        Authenticator.objects.create(user=charlie.user, type="totp", data={})
        now = timezone.now()
        TextLock.objects.create(user=charlie.user, since=now, before=now, made_by=[])
    with tenant_scope(alice.tenant_id, alice.user_id), connection.cursor() as cursor:
        try:
            with transaction.atomic():
                cursor.execute(statement, ids)
                assert cursor.rowcount == 0
        except DatabaseError as problem:
            assert "row-level security" in str(problem) or "only the platform" in str(problem)
        alice.user.take_password("of one's own, at any time")


def test_a_person_of_no_tenant_has_their_acts_on_the_platforms_record(request_role: None) -> None:
    with administrator(back="forebay_requests"):
        stranger = User.objects.create_user("nobody@nowhere.example")
    person_acts.record(Action.SESSION_LOGIN, stranger, client_net="192.0.2.0", detail={"how": "x"})
    forged = "select * from tenants_record_own_act('session:login', %s, true, null, '{}')"
    with (
        pytest.raises(DatabaseError, match="somebody else"),
        person_scope(stranger.pk + 1),
        connection.cursor() as cursor,
    ):
        cursor.execute(forged, [stranger.actor])
    with administrator(back="forebay_requests"):
        written = Event.objects.get(actor=stranger.actor)
    assert (written.action, written.tenant_id) == (Action.SESSION_LOGIN, None)
    assert (written.client_net, written.detail) == ("192.0.2.0", {"how": "x"})
