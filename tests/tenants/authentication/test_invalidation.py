"""Callers are remembered for long, because the authenticator hears of every change."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import Permission
from django.db import connection
from django.utils import timezone

from audit.models import DeletionRequest
from tenants.authentication import authenticator as module
from tenants.authentication import invalidation as news
from tenants.authentication.authenticator import CACHE_S, Authenticator, UnknownCaller
from tenants.authentication.invalidation import TABLES, Changes
from tenants.caller import Caller
from tenants.models import ApiKey, Member, Quota, RestrictedModel, Team, Tenant, TierPolicy, User
from tenants.roles import Role
from tests.audit.weak_line import WeakLine, through, weak_line_to_database

in_database = database_sync_to_async
PROMPT_S = 0.6  # a notification takes milliseconds; the machine may be busy


@pytest.fixture
def looks(authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the database was asked."""
    asked, fetch = list[object](), authenticator._fetch

    async def counted(query: str, credential: Any) -> Any:
        asked.append(credential)
        return await fetch(query, credential)

    monkeypatch.setattr(authenticator, "_fetch", counted)
    return asked


async def until(true: Callable[[], bool], within: float = 5) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def listening(authenticator: Authenticator) -> None:
    loop = asyncio.get_running_loop()
    await until(lambda: authenticator.changes.all_heard(loop.time(), loop.time()))
    await asyncio.sleep(0.01)  # the loop's clock may be a coarse one


async def known_for_long(
    authenticator: Authenticator, ask: Callable[[], Awaitable[Caller]]
) -> Caller:
    """From a look that was made while changes were heard, and past the short time."""
    await listening(authenticator)
    authenticator._known.clear()
    await ask()
    await asyncio.sleep(CACHE_S + 0.1)
    return await ask()


# What is remembered ------------------------------------------------------------------------------
async def test_a_caller_is_remembered_for_as_long_as_nothing_changes(
    authenticator: Authenticator, key: tuple[ApiKey, str], looks: list[object]
) -> None:
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    await asyncio.sleep(1.5)
    await authenticator.by_key(key[1])
    assert len(looks) == 1


async def test_but_not_for_ever(
    authenticator: Authenticator,
    key: tuple[ApiKey, str],
    looks: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REMEMBERED_S", 0.8)
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    await asyncio.sleep(0.3)
    await authenticator.by_key(key[1])
    assert len(looks) == 2


async def test_when_a_key_was_used_is_no_news(
    authenticator: Authenticator, key: tuple[ApiKey, str], looks: list[object]
) -> None:
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    await in_database(ApiKey.objects.filter(pk=key[0].pk).update)(last_used_at=timezone.now())
    await asyncio.sleep(0.3)
    await authenticator.by_key(key[1])
    assert len(looks) == 1


async def test_one_tenants_changes_are_no_news_of_another(
    authenticator: Authenticator, globex: Tenant, key: tuple[ApiKey, str], looks: list[object]
) -> None:
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    await in_database(globex.change)(by="test", burst=7)
    await asyncio.sleep(0.3)
    await authenticator.by_key(key[1])
    assert len(looks) == 1


async def test_a_key_that_expires_is_not_remembered_for_longer(
    authenticator: Authenticator, key: tuple[ApiKey, str]
) -> None:
    ends = timezone.now() + timedelta(seconds=1.5)
    await in_database(ApiKey.objects.filter(pk=key[0].pk).update)(expires_at=ends)
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    while timezone.now() < ends:
        await asyncio.sleep(0.01)
    with pytest.raises(UnknownCaller):
        await authenticator.by_key(key[1])


async def test_those_who_come_in_most_are_kept(
    authenticator: Authenticator,
    acme: Tenant,
    key: tuple[ApiKey, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CACHED", 3)
    await listening(authenticator)
    await authenticator.by_key(key[1])
    for n in range(4):
        _, text = await in_database(ApiKey.issue)(acme, f"key {n}", by="test")
        await authenticator.by_key(text)
        await authenticator.by_key(key[1])
    assert authenticator.expected(key[1])
    assert len(authenticator._known) == 3


# While nobody asks -------------------------------------------------------------------------------
@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "QUIET_S", 0.4)


async def quiet(authenticator: Authenticator) -> int:
    """How many messages it had sent when it came to rest."""
    await asyncio.sleep(news.VALID_S + 0.8)
    return authenticator.changes._probes


@pytest.mark.usefixtures("resting")
async def test_nothing_is_sent_while_nobody_asks(authenticator: Authenticator) -> None:
    await listening(authenticator)
    sent = await quiet(authenticator)
    await asyncio.sleep(1)
    assert authenticator.changes._probes == sent


@pytest.mark.usefixtures("resting")
async def test_the_first_to_ask_again_looks_and_the_next_ones_need_not(
    authenticator: Authenticator, key: tuple[ApiKey, str], looks: list[object]
) -> None:
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    await quiet(authenticator)
    await authenticator.by_key(key[1])
    assert len(looks) == 2
    for _ in range(10):
        await asyncio.sleep(0.1)
        await authenticator.by_key(key[1])
    assert len(looks) == 2


@pytest.mark.usefixtures("resting")
async def test_what_was_told_while_nobody_asked_is_heeded(
    authenticator: Authenticator, key: tuple[ApiKey, str]
) -> None:
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    await quiet(authenticator)
    await in_database(key[0].revoke)(by="test")
    with pytest.raises(UnknownCaller):
        await authenticator.by_key(key[1])
    await listening(authenticator)
    assert authenticator.changes.touched(key[0].tenant_id, authenticator.changes._since)


@pytest.mark.usefixtures("resting")
async def test_a_message_is_sent_now_and_then_all_the_same(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also to see whether the connection and the triggers are still there."""
    monkeypatch.setattr(news, "REST_S", 0.2)
    await listening(authenticator)
    sent = await quiet(authenticator)
    await until(lambda: authenticator.changes._probes > sent + 1)


# What is told ------------------------------------------------------------------------------------
def restrict_model(key: ApiKey, alice: Member) -> None:
    RestrictedModel.objects.create(tenant=alice.tenant, name="m")


def leave_team(key: ApiKey, alice: Member) -> None:
    Team.objects.get(tenant=alice.tenant, name="t").take_out(alice, by="test")


def join_team(key: ApiKey, alice: Member) -> None:
    Team.form(alice.tenant, "t", by="test").add(alice, by="test")


def raise_tier(key: ApiKey, alice: Member) -> None:
    TierPolicy.objects.update_or_create(tier="standard", defaults={"weight": 9})


def set_quota(key: ApiKey, alice: Member) -> None:
    Quota.set(alice.tenant, unit="tokens", window="day", limit=9, by="test")


def set_zone(key: ApiKey, alice: Member) -> None:
    alice.tenant.change(by="test", time_zone="Asia/Shanghai")


def limit_key(key: ApiKey, alice: Member) -> None:
    key.change(by="test", burst=3)


def limit_tenant(key: ApiKey, alice: Member) -> None:
    alice.tenant.change(by="test", max_concurrency=3)


def demote(key: ApiKey, alice: Member) -> None:
    alice.change_role(Role.AUDITOR, by="test")


def restrict_person(key: ApiKey, alice: Member) -> None:
    for subject in (key.subject_id, alice.subject_id):
        DeletionRequest.objects.create(
            tenant_id=alice.tenant_id,
            subject_id=subject,
            state="running",
            requested_by="test",
            requested_at=timezone.now(),
            due_at=timezone.now(),
        )


def suspend(key: ApiKey, alice: Member) -> None:
    alice.tenant.suspend(by="test", reason="test")


def revoke(key: ApiKey, alice: Member) -> None:
    key.revoke(by="test")


def shut_out(key: ApiKey, alice: Member) -> None:
    User.objects.filter(pk=alice.user_id).update(is_active=False)


def remove(key: ApiKey, alice: Member) -> None:
    alice.remove(by="test")


BOTH, KEY, MEMBER = ("key", "member"), ("key",), ("member",)


@pytest.mark.parametrize(
    ("act", "whose"),
    [
        (revoke, KEY),
        (shut_out, MEMBER),
        (remove, MEMBER),
        (suspend, BOTH),
        (restrict_person, BOTH),
        (demote, MEMBER),
        (limit_tenant, BOTH),
        (limit_key, KEY),
        (set_zone, BOTH),
        (set_quota, BOTH),
        (raise_tier, BOTH),
        (join_team, MEMBER),
        (restrict_model, BOTH),
    ],
    ids=lambda value: value.__name__ if callable(value) else "-".join(value),
)
async def test_what_changes_for_a_caller_is_heard_at_once(
    authenticator: Authenticator,
    key: tuple[ApiKey, str],
    alice: Member,
    act: Callable[[ApiKey, Member], None],
    whose: tuple[str, ...],
) -> None:
    ways = {
        "key": lambda: authenticator.by_key(key[1]),
        "member": lambda: authenticator.by_member(alice.id),
    }
    before = {who: await known_for_long(authenticator, ways[who]) for who in whose}
    await asyncio.gather(*[ways[who]() for who in whose])
    await in_database(act)(key[0], alice)
    began = time.monotonic()
    for who in whose:
        while True:
            try:
                if await ways[who]() != before[who]:
                    break
            except UnknownCaller:
                break
            assert time.monotonic() - began < PROMPT_S
            await asyncio.sleep(0.01)


async def test_a_grant_is_heard_of_and_its_end_too(
    authenticator: Authenticator, acme: Tenant, alice: Member
) -> None:
    def prepared() -> tuple[RestrictedModel, Team]:
        team = Team.form(acme, "t", by="test")
        team.add(alice, by="test")
        return RestrictedModel.objects.create(tenant=acme, name="m"), team

    async def ask() -> Caller:
        return await authenticator.by_member(alice.id)

    model, team = await in_database(prepared)()
    assert (await known_for_long(authenticator, ask)).withheld_models == {"m"}
    grants = model.restrictedmodelgroupobjectpermission_set

    def grant() -> None:
        permission = Permission.objects.get(codename="use_restrictedmodel")
        grants.create(group=team.group, permission=permission)

    def end() -> None:
        grants.all().delete()

    steps: list[tuple[Callable[[], None], set[str]]] = [(grant, set()), (end, {"m"})]
    for act, withheld in steps:
        await in_database(act)()
        began = time.monotonic()
        while (await ask()).withheld_models != withheld:
            assert time.monotonic() - began < PROMPT_S
            await asyncio.sleep(0.01)
        await asyncio.sleep(CACHE_S + 0.1)


async def test_a_change_while_the_database_is_asked_is_not_missed(
    authenticator: Authenticator, key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await listening(authenticator)
    fetch = authenticator._fetch

    async def slow(query: str, credential: Any) -> Any:
        found = await fetch(query, credential)
        await in_database(key[0].revoke)(by="test")
        await asyncio.sleep(0.2)  # it is told meanwhile
        return found

    monkeypatch.setattr(authenticator, "_fetch", slow)
    await authenticator.by_key(key[1])
    monkeypatch.setattr(authenticator, "_fetch", fetch)
    with pytest.raises(UnknownCaller):
        await authenticator.by_key(key[1])


async def test_a_change_while_its_answer_is_on_its_way_is_not_missed(
    authenticator: Authenticator, key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is when the database was asked: by its answer the change has been heard of."""
    await listening(authenticator)
    execute = psycopg.AsyncCursor.execute

    async def slow(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        answer = await execute(cursor, query, *arguments, **options)
        if "from tenants_apikey k" in str(query):
            monkeypatch.setattr(psycopg.AsyncCursor, "execute", execute)
            await in_database(key[0].revoke)(by="test")
            await until(lambda: authenticator.changes.touched(key[0].tenant_id, asked_before))
        return answer

    asked_before = asyncio.get_running_loop().time()
    monkeypatch.setattr(psycopg.AsyncCursor, "execute", slow)
    await authenticator.by_key(key[1])
    with pytest.raises(UnknownCaller):
        await authenticator.by_key(key[1])


async def test_an_answer_that_took_too_long_is_asked_for_again(
    authenticator: Authenticator, key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = authenticator._fetch

    async def slow(query: str, credential: Any) -> Any:
        monkeypatch.setattr(authenticator, "_fetch", fetch)
        found = await fetch(query, credential)
        await in_database(key[0].revoke)(by="test")
        await asyncio.sleep(module.STALE_S)
        return found

    monkeypatch.setattr(authenticator, "_fetch", slow)
    with pytest.raises(UnknownCaller):
        await authenticator.by_key(key[1])


async def test_many_changed_tenants_are_everybody(
    dsn: str, authenticator: Authenticator, key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "MOST", 3)
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))

    def tell() -> None:
        with connection.cursor() as cursor:
            for _ in range(5):
                cursor.execute("select pg_notify('forebay_callers', %s)", [str(uuid4())])

    await in_database(tell)()
    await until(lambda: authenticator.remembered(key[1]) is None)
    assert len(authenticator.changes._changed_at) <= 3


@pytest.mark.parametrize("forged", ["", "x", "'; --", "{}", "é" * 3000, f"{UUID(int=1)}x"])
async def test_a_forged_notification_does_no_more_than_have_callers_looked_up(
    authenticator: Authenticator, key: tuple[ApiKey, str], forged: str, caplog: Any
) -> None:
    """NOTIFY cannot be revoked: whoever can run SQL as the role for requests can send them."""
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))

    def forge() -> None:
        with connection.cursor() as cursor:
            cursor.execute("select pg_notify('forebay_callers', %s)", [forged])

    await in_database(forge)()
    await until(lambda: authenticator.remembered(key[1]) is None)
    assert (await authenticator.by_key(key[1])).tenant_id == key[0].tenant_id
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


# What is not told --------------------------------------------------------------------------------
def end_listeners() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid() "
            "and query like '%pg_notify%tenants_tell_caller_changes%'"
        )
        return int(cursor.fetchone()[0])


async def test_without_its_connection_nothing_is_remembered_for_long(
    authenticator: Authenticator, key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "AGAIN_S", 1.5)
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    assert await in_database(end_listeners)() == 1
    await until(lambda: authenticator.remembered(key[1]) is None, 0.9)
    await authenticator.by_key(key[1])  # for a short time
    await in_database(key[0].revoke)(by="test")
    revoked = time.monotonic()
    with pytest.raises(UnknownCaller):
        while time.monotonic() - revoked < 1:
            await authenticator.by_key(key[1])
            await asyncio.sleep(0.01)
    await listening(authenticator)


async def test_what_was_heard_counts_no_longer_once_the_connection_is_gone(
    authenticator: Authenticator, key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "VALID_S", 60)
    monkeypatch.setattr(news, "AGAIN_S", 60)
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    assert await in_database(end_listeners)() == 1
    await until(lambda: authenticator.remembered(key[1]) is None, 5)


async def test_a_message_that_comes_late_counts_from_when_it_was_sent(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed since then may be on its way for as long."""
    await listening(authenticator)
    changes, loop = authenticator.changes, asyncio.get_running_loop()
    probe = changes._probe

    async def slow(link: Any) -> None:
        await probe(link)
        await asyncio.sleep(news.VALID_S)

    monkeypatch.setattr(changes, "_probe", slow)
    sent = changes._probes
    await until(lambda: changes._probes > sent + 1)
    for _ in range(60):
        assert not changes.all_heard(loop.time(), loop.time())
        await asyncio.sleep(0.02)


async def test_what_was_known_before_the_connection_came_back_is_forgotten(
    authenticator: Authenticator, key: tuple[ApiKey, str], looks: list[object]
) -> None:
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    assert await in_database(end_listeners)() == 1
    await asyncio.sleep(0.1)
    await listening(authenticator)
    assert authenticator.remembered(key[1]) is None
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    assert len(looks) == 2


@pytest.fixture
async def line(dsn: str) -> AsyncIterator[WeakLine]:
    async with weak_line_to_database(dsn) as line:
        yield line


async def test_news_that_freeze_on_their_way_are_not_waited_for(
    dsn: str, authenticator: Authenticator, line: WeakLine, key: tuple[ApiKey, str]
) -> None:
    """The authenticator's own connection is well; only what it should be told does not arrive."""
    await authenticator.changes.close()
    authenticator.changes = Changes(through(line, dsn))
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    line.freeze()
    await in_database(key[0].revoke)(by="test")
    revoked = time.monotonic()
    with pytest.raises(UnknownCaller):
        while time.monotonic() - revoked < 1:
            await authenticator.by_key(key[1])
            await asyncio.sleep(0.01)
    assert time.monotonic() - revoked < 1
    line.thaw()
    await listening(authenticator)


async def test_a_pooler_that_keeps_news_to_itself_is_noticed(
    authenticator: Authenticator, key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round trips work, and nothing is ever told."""
    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    monkeypatch.setattr(authenticator.changes, "_receive", lambda told: None)
    await until(lambda: authenticator.remembered(key[1]) is None, 1)


@pytest.mark.parametrize(
    "how", ["alter table tenants_member disable {}", "drop {} on tenants_member"]
)
async def test_a_missing_trigger_is_noticed(
    authenticator: Authenticator,
    key: tuple[ApiKey, str],
    how: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def run(statement: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    await known_for_long(authenticator, lambda: authenticator.by_key(key[1]))
    as_it_was = await in_database(run)(
        "select pg_get_triggerdef(oid) from pg_trigger where tgname = 'tenants_caller_changes' "
        "and tgrelid = 'tenants_member'::regclass"
    )
    await in_database(run)(how.format("trigger tenants_caller_changes"))
    try:
        await until(lambda: authenticator.remembered(key[1]) is None, 1)
        assert "run `manage.py migrate`" in caplog.text
        await authenticator.by_key(key[1])
    finally:
        again = as_it_was.replace("CREATE", "CREATE OR REPLACE", 1)
        enable = "alter table tenants_member enable trigger tenants_caller_changes"
        await in_database(run)(f"{again}; {enable}")
    await listening(authenticator)


# Nothing that the authenticator reads is left out -------------------------------------------------
_READ = """
    select table_name::text, column_name::text from information_schema.view_column_usage
    where view_name = any(%s)"""
_TOLD = """
    select c.relname::text, t.tgtype,
           array(select attname::text from pg_attribute a
                 where a.attrelid = c.oid and a.attnum = any(t.tgattr::smallint[])),
           array(select attname::text from pg_attribute a
                 where a.attrelid = c.oid and a.attnum > 0 and not attisdropped)
    from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_proc f on f.oid = t.tgfoid
    where f.proname = 'tenants_tell_caller_changes' and t.tgenabled in ('O', 'A')"""
_INSERT, _DELETE, _UPDATE, _TRUNCATE = 4, 8, 16, 32
_NEVER_TOLD = {("tenants_user", _INSERT)}  # who has just come is a member nowhere


@pytest.mark.django_db
def test_every_column_that_authentication_reads_has_its_triggers() -> None:
    queries = {
        "door_by_key": module._BY_KEY.replace("%s", "''::bytea"),
        "door_by_user": module._BY_USER.replace("%s", f"'{uuid4()}'::uuid"),
    }
    with connection.cursor() as cursor:
        for name, query in queries.items():
            cursor.execute(f"create temporary view {name} as {query}")
        cursor.execute(_READ, [list(queries)])
        read = set(cursor.fetchall())
        for name in queries:
            cursor.execute(f"drop view {name}")
        cursor.execute(_TOLD)
        triggers = cursor.fetchall()
    assert {table for table, _ in read} == set(TABLES)
    for table, column in sorted(read):
        for event in (_INSERT, _DELETE, _UPDATE, _TRUNCATE):
            found = [
                event != _UPDATE or not columns or column in columns
                for name, kind, columns, _ in triggers
                if name == table and kind & event
            ]
            assert any(found) or (table, event) in _NEVER_TOLD, (table, column, event)
    assert len(triggers) == news.TRIGGERS
