"""Many processes at one budget: it is never overspent, nobody is stuck, nothing is lost."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tenants.models import ApiKey, LedgerEntry, Quota, QuotaCounter, Tenant
from tenants.quotas import windows
from tenants.quotas.windows import ledger_sum
from tests.audit.sealed import superuser
from tests.e2e.ask import eventually
from tests.tenants.book import Asked, Book, session_sum

WRITERS = 8


def at_once(dsn: str, works: list[Callable[[Book], Any]]) -> list[Any]:
    """Each on a connection of its own, all starting together."""
    together = threading.Barrier(len(works))

    def run(work: Callable[[Book], Any]) -> Any:
        book = Book(dsn)
        try:
            together.wait(20)
            return work(book)
        finally:
            book.connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def each_counter_is_its_ledgers_sum() -> None:
    found_counters = list(QuotaCounter.objects.all())
    assert found_counters
    for counter in found_counters:
        if counter.session:
            found = session_sum(counter.quota_id, counter.session)
        else:
            found = ledger_sum(counter.quota_id, counter.starts, counter.ends)
        assert found == (counter.used, counter.reserved)


@pytest.mark.parametrize("known", [True, False], ids=["counted before", "very first"])
def test_200_at_once_on_a_budget_for_10(dsn: str, acme: Tenant, known: bool) -> None:
    key, _ = ApiKey.issue(acme, "new", by="test")
    ours = Quota.set(acme, unit="requests", window="day", limit=10, by="test", api_key=key)
    if not known:  # as when its day has just begun
        QuotaCounter.objects.all().delete()
    works = [
        lambda book: [book.take(Asked(acme, key))[0] for _ in range(25)] for _ in range(WRITERS)
    ]
    let_in = [one for some in at_once(dsn, works) for one in some]
    assert (len(let_in), sum(let_in)) == (200, 10)
    assert QuotaCounter.objects.count() == 1
    assert (ours.balance().used, ours.balance().reserved) == (0, 10)
    each_counter_is_its_ledgers_sum()


def test_200_at_once_in_two_sessions_on_a_budget_for_10_each(dsn: str, acme: Tenant) -> None:
    """The very first requests of both: eight processes want to make their counters."""
    Quota.set(acme, unit="requests", window="session", limit=10, by="test")
    sessions = [UUID(int=number % 2) for number in range(25)]

    def work(book: Book) -> list[tuple[UUID, bool]]:
        return [(each, book.take(Asked(acme, session=each))[0]) for each in sessions]

    let_in = [session for some in at_once(dsn, [work] * WRITERS) for session, ran in some if ran]
    assert (len(let_in), set(map(let_in.count, set(let_in)))) == (20, {10})
    assert QuotaCounter.objects.count() == 2
    each_counter_is_its_ledgers_sum()


def test_sessions_and_their_quotas_come_and_go_while_requests_run(
    dsn: str, acme: Tenant, book: Book
) -> None:
    over = threading.Event()

    def write(book: Book) -> int:
        dice, count = random.Random(), 0
        while not over.is_set():
            ids = [UUID(int=dice.randrange(4)) if dice.random() < 0.8 else None for _ in range(5)]
            group = [Asked(acme, session=each) for each in ids]
            book.take(*group)
            book.settle(*[each.over() for each in group])
            count += 5
        return count

    def change(_: Book) -> int:
        try:
            for n in range(12):
                quota = Quota.set(acme, unit="tokens", window="session", limit=10**9, by="test")
                Quota.set(acme, unit="requests", window="session", limit=10**9 + n, by="test")
                windows.forget_sessions(acme.id, datetime.now(UTC) + timedelta(days=1))
                if n < 11:
                    quota.drop(by="test")
        finally:
            over.set()
            from django.db import connection

            connection.close()
        return 0

    at_once(dsn, [write] * 4 + [change])
    book.take(*[Asked(acme, session=UUID(int=number)) for number in range(4)])  # all are open
    each_counter_is_its_ledgers_sum()
    used = sum(each.used for each in QuotaCounter.objects.filter(quota__unit="requests"))
    ended = LedgerEntry.objects.exclude(kind="reserve").filter(session__isnull=False)
    assert used == ended.count()


def test_eight_writers_on_the_same_tenants_shuffled(dsn: str, acme: Tenant) -> None:
    tenants = [acme, *(Tenant.open(f"tenant-{n}", by="test") for n in range(7))]
    for tenant in tenants:
        for unit in ("requests", "tokens"):
            Quota.set(tenant, unit=unit, window="month", limit=10**9, by="test")
        Quota.set(tenant, unit="tokens", window="day", limit=10**9, by="test", model="mock")

    def write(book: Book) -> int:
        dice = random.Random()
        for _ in range(25):
            group = [Asked(dice.choice(tenants), tokens=dice.randint(1, 9)) for _ in range(20)]
            assert all(book.take(*group))
            dice.shuffle(group)
            half = group[:10]
            book.settle(*[each.over(tokens=each.tokens) for each in half])
            book.settle(*[each.over(tokens=0, status=499) for each in group])
        return 25 * 20

    written = at_once(dsn, [write] * WRITERS)  # a deadlock would raise here
    assert LedgerEntry.objects.filter(kind="reserve").count() == sum(written)
    assert LedgerEntry.objects.filter(kind="settle").count() == sum(written) // 2
    each_counter_is_its_ledgers_sum()
    standings = [quota.balance() for quota in Quota.objects.filter(unit="requests")]
    assert sum(each.used for each in standings) == sum(written) // 2
    assert {each.reserved for each in standings} == {0}


def test_the_same_requests_settled_from_everywhere_count_once(
    dsn: str, acme: Tenant, book: Book
) -> None:
    ours = Quota.set(acme, unit="tokens", window="day", limit=10**6, by="test")
    asked = [Asked(acme) for _ in range(60)]
    book.take(*asked)

    def settle(book: Book) -> int:
        rows = [each.over(tokens=30) for each in asked]
        random.shuffle(rows)
        return sum(len(book.settle(*rows[n : n + 15])) for n in range(0, 60, 15))

    assert sum(at_once(dsn, [settle] * WRITERS)) == 60
    assert (ours.balance().used, ours.balance().reserved) == (1800, 0)


def test_quotas_come_and_go_while_requests_run(dsn: str, acme: Tenant) -> None:
    """A counter is made in the middle of reserves and settlements: it misses none, doubles none."""
    over = threading.Event()

    def write(book: Book) -> int:
        count = 0
        while not over.is_set():
            group = [Asked(acme) for _ in range(5)]
            book.take(*group)
            book.settle(*[each.over() for each in group])
            count += 5
        return count

    def change(_: Book) -> int:
        try:
            for n in range(12):
                quota = Quota.set(
                    acme, unit="tokens", window="day", limit=10**9, by="test", model="mock"
                )
                Quota.set(acme, unit="requests", window="day", limit=10**9 + n, by="test")
                if n < 11:
                    quota.drop(by="test")
        finally:
            over.set()
            from django.db import connection

            connection.close()
        return 0

    written = sum(at_once(dsn, [write] * 4 + [change]))
    each_counter_is_its_ledgers_sum()
    standing = Quota.objects.get(unit="requests").balance()
    assert (standing.used, standing.reserved) == (written, 0)


def test_nobody_writes_while_a_new_counters_mark_is_drawn(dsn: str, acme: Tenant) -> None:
    """Entries with ids below the mark that are not committed yet would count nowhere."""
    sequence = "tenants_ledgerentry_id_seq"
    lock = f"select pg_try_advisory_lock_shared(1364545364, tenants_stripe('{acme.id}'))"
    draw, waits = f"select tenants_ledger_mark('{acme.id}')", "select wait_event_type = 'Lock' from"
    with (
        superuser() as slow,
        psycopg.connect(dsn, autocommit=True) as drawing,
        psycopg.connect(dsn, autocommit=True) as writer,
        ThreadPoolExecutor(1) as pool,
    ):
        with slow.transaction():
            slow.execute(f"alter sequence {sequence} increment by 1")  # whoever draws now waits
            drawn = pool.submit(drawing.execute, draw)
            looked = f"{waits} pg_stat_activity where pid = {drawing.info.backend_pid}"
            assert eventually(lambda: slow.execute(looked).fetchone() == (True,), 10)
            assert writer.execute(lock).fetchone() == (False,)
        drawn.result(10)
        assert writer.execute(lock).fetchone() == (True,)


@pytest.mark.parametrize("window", ["day", "session"])
def test_a_connection_lost_in_a_reserve_leaves_nothing_set_aside(
    dsn: str, acme: Tenant, window: str
) -> None:
    ours = Quota.set(acme, unit="requests", window=window, limit=3, by="test")
    asked = [Asked(acme, session=UUID(int=1)) for _ in range(3)]
    lost, book = Book(dsn), Book(dsn)
    lost.connection.autocommit = False
    lost.take(*asked)  # and then PostgreSQL goes away before it could commit
    (pid,) = lost.connection.execute("select pg_backend_pid()").fetchone() or (0,)
    other = threading.Thread(target=lambda: book.take(*asked))
    other.start()  # the group again, on a new connection: it waits for the old one to end
    with psycopg.connect(dsn, autocommit=True) as killer:
        killer.execute("select pg_terminate_backend(%s)", [pid])
    other.join(20)
    assert not other.is_alive()
    assert (ours.balance().used, ours.balance().reserved) == (0, 3)
    assert LedgerEntry.objects.count() == 3
    each_counter_is_its_ledgers_sum()
    lost.connection.close()
    book.connection.close()


def test_nobody_waits_for_a_long_look_at_the_ledger(
    dsn: str, acme: Tenant, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in, and what ends, during the sum behind a new quota counts once."""
    asked = [Asked(acme) for _ in range(6)]
    book.take(*asked[:4])
    book.settle(*[each.over() for each in asked[:2]])
    during: list[Any] = []

    def meanwhile(tenant_id: Any) -> None:  # after the long look, before the stripe is held
        if not during:
            during.append(book.connection.execute("set lock_timeout to 1000"))
            book.take(*asked[4:])
            book.settle(*[each.over() for each in asked[2:5]])
        hold_alone(tenant_id)

    hold_alone = windows.hold_alone
    monkeypatch.setattr(windows, "hold_alone", meanwhile)
    ours = Quota.set(acme, unit="requests", window="day", limit=9, by="test")
    assert during
    assert (ours.balance().used, ours.balance().reserved) == (5, 1)
    each_counter_is_its_ledgers_sum()
