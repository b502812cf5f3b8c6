"""What requests set aside and give back: the ledger and its counters, row by row."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from audit.models import Event
from tenants.models import (
    ApiKey,
    CacheRule,
    LedgerEntry,
    Member,
    Quota,
    QuotaCounter,
    QuotaNotice,
    Team,
    Tenant,
    User,
)
from tenants.models.quotas.quota_raise import QuotaRaise
from tenants.quotas import windows
from tests.people import join
from tests.tenants.book import Asked, Book


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "ci", by="test")[0]


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice@acme.example")


def quota(tenant: Tenant, limit: int, unit: str = "requests", **more: Any) -> Quota:
    return Quota.set(
        tenant, **{"unit": unit, "window": "day", "by": "test", "limit": limit, **more}
    )


def stands(quota: Quota) -> tuple[int, int]:
    standing = quota.balance()
    return standing.used, standing.reserved


def kinds(asked: Asked) -> list[str]:
    entries = LedgerEntry.objects.filter(request_id=asked.id).order_by("id")
    return [entry.kind for entry in entries]


def test_without_quotas_everything_is_in_the_ledger_and_nothing_is_said(
    book: Book, acme: Tenant, key: ApiKey
) -> None:
    asked = Asked(acme, key, tokens=70, cost=9)
    assert book.reserve(asked)[asked.id].left == ()
    (entry,) = LedgerEntry.objects.all()
    assert (entry.kind, entry.requests, entry.tokens, entry.cost) == ("reserve", 1, 70, 9)
    assert (entry.api_key_id, entry.model, entry.counts_at) == (key.id, "mock", asked.at)
    book.settle(asked.over(tokens=31, cost=4))
    entry = LedgerEntry.objects.get(kind="settle")
    assert (entry.requests, entry.tokens, entry.cost) == (1, 31, 4)
    assert (entry.api_key_id, entry.counts_at) == (key.id, asked.at)
    assert not QuotaCounter.objects.exists()


def test_exactly_as_many_as_fit(book: Book, acme: Tenant) -> None:
    ours = quota(acme, 10)
    asked = [Asked(acme) for _ in range(25)]
    assert book.take(*asked) == [True] * 10 + [False] * 15  # in the order in which they came
    assert stands(ours) == (0, 10)
    assert book.take(Asked(acme)) == [False]
    assert LedgerEntry.objects.count() == 10  # the refused ones leave nothing


def test_a_refusal_says_what_stands_against_it(book: Book, acme: Tenant) -> None:
    ours = quota(acme, 250, "tokens")
    done, running, refused = (Asked(acme, tokens=100) for _ in range(3))
    book.reserve(done)
    book.settle(done.over(tokens=60))
    said = book.reserve(running, refused)[refused.id].out_of
    assert said
    assert (said.quota_id, said.unit, said.window) == (ours.id, "tokens", "day")
    assert (said.limit, said.used, said.reserved, said.asked) == (250, 60, 100, 100)
    assert said.ends == ours.balance().ends
    assert 0 < said.frees_in_ms <= 24 * 3600 * 1000


def test_who_is_let_in_learns_what_remains(book: Book, acme: Tenant) -> None:
    quota(acme, 10)
    quota(acme, 5, window="month")
    quota(acme, 1000, "tokens")
    first, second = Asked(acme, tokens=300), Asked(acme, tokens=300)
    said = book.reserve(first, second)
    assert {unit: left.remaining for unit, left in said[first.id].tightest.items()} == {
        "requests": 4,
        "tokens": 700,
    }
    assert said[second.id].tightest["tokens"].remaining == 400
    assert said[second.id].tightest["requests"].limit == 5


def test_what_was_not_used_comes_back(book: Book, acme: Tenant) -> None:
    ours, costs = quota(acme, 100, "tokens"), quota(acme, 1000, "cost")
    asked = Asked(acme, tokens=90, cost=700)
    assert book.take(asked) == [True]
    assert book.take(Asked(acme, tokens=20)) == [False]
    assert book.settle(asked.over(tokens=40, cost=300)) == {asked.id}
    assert (stands(ours), stands(costs)) == ((40, 0), (300, 0))
    assert book.take(Asked(acme, tokens=60)) == [True]


def test_a_request_that_ends_before_anything_was_generated_counts_as_none(
    book: Book, acme: Tenant
) -> None:
    ours = quota(acme, 1)
    for status in (499, 502, 504):
        asked = Asked(acme)
        assert book.take(asked) == [True]
        book.settle(asked.over(tokens=0, status=status, cost=99))
        assert kinds(asked) == ["reserve", "release"]
    assert stands(ours) == (0, 0)
    assert set(LedgerEntry.objects.filter(kind="release").values_list("requests", "cost")) == {
        (0, 0)
    }
    empty, cut = Asked(acme), Asked(acme)
    book.take(empty)
    book.settle(empty.over(tokens=0))  # an answer without a word is an answer
    assert kinds(empty) == ["reserve", "settle"]
    ours.change(2, by="test")
    book.take(cut)
    book.settle(cut.over(tokens=7, status=499))  # what was generated was paid for
    assert stands(ours) == (2, 0)


def test_who_settles_second_changes_nothing(book: Book, acme: Tenant) -> None:
    ours = quota(acme, 1000, "tokens")
    asked = Asked(acme)
    book.reserve(asked)
    assert book.settle(asked.over(tokens=30)) == {asked.id}
    assert book.settle(asked.over(tokens=0, status=504)) == set()
    assert book.settle(asked.over(tokens=99), asked.over(tokens=98)) == set()
    assert stands(ours) == (30, 0)
    assert kinds(asked) == ["reserve", "settle"]


def test_a_group_that_is_sent_again_counts_once(book: Book, acme: Tenant) -> None:
    ours = quota(acme, 3)
    group = [Asked(acme) for _ in range(5)]
    assert book.take(*group) == [True, True, True, False, False]
    assert book.take(*group) == [True, True, True, False, False]
    assert book.take(group[1], group[1]) == [True, True]
    assert stands(ours) == (0, 3)
    ours.change(4, by="test")
    twice = Asked(acme)
    assert book.take(twice, twice) == [True, True]
    assert stands(ours) == (0, 4)
    book.settle(group[0].over(), group[0].over())
    assert book.take(group[0]) == [True]  # it is over; that it was let in stands
    assert stands(ours) == (1, 3)


def test_each_quota_counts_its_own(
    book: Book, acme: Tenant, globex: Tenant, key: ApiKey, alice: Member
) -> None:
    quotas = {
        "tenant": quota(acme, 100),
        "key": quota(acme, 100, api_key=key),
        "member": quota(acme, 100, member=alice),
        "model": quota(acme, 100, model="mock"),
        "other model": quota(acme, 100, model="large"),
        "globex": quota(globex, 100),
    }
    other, _ = ApiKey.issue(acme, "other", by="test")
    book.reserve(Asked(acme, key), Asked(acme, member=alice), Asked(acme, other, model="large"))
    book.reserve(Asked(globex))
    assert {name: stands(each)[1] for name, each in quotas.items()} == {
        "tenant": 3,
        "key": 1,
        "member": 1,
        "model": 2,
        "other model": 1,
        "globex": 1,
    }


def test_a_teams_budget_counts_its_requests_alone(book: Book, acme: Tenant) -> None:
    team, other = (Team.form(acme, name, by="test") for name in ("search", "sales"))
    before, asked, settled = (Asked(acme, team=team.pk) for _ in range(3))
    book.reserve(before, settled, Asked(acme, team=other.pk), Asked(acme))
    book.settle(settled.over(tokens=40))
    budget = quota(acme, 250, "tokens", team=team)
    assert stands(budget) == (40, 100), "earlier use of the window counts"
    assert book.take(asked, Asked(acme, team=team.pk)) == [True, False]
    assert book.take(Asked(acme, team=other.pk), Asked(acme)) == [True, True]
    book.settle(asked.over(tokens=10), before.over(tokens=0, status=503))
    assert stands(budget) == (50, 0)
    entries = LedgerEntry.objects.filter(request_id=asked.id)
    assert {entry.team_id for entry in entries} == {team.pk}
    team.disband(by="test")
    assert book.take(asked) == [True]
    assert not Quota.objects.exists()


def test_a_budget_is_of_a_team_of_the_tenant_and_of_nothing_else(
    acme: Tenant, globex: Tenant, key: ApiKey
) -> None:
    ours, theirs = Team.form(acme, "search", by="test"), Team.form(globex, "search", by="test")
    with pytest.raises(ValidationError):
        quota(acme, 1, team=theirs)
    with pytest.raises(ValidationError):
        quota(acme, 1, team=ours, model="mock")
    first, second = quota(acme, 1, team=ours), quota(acme, 2, team=ours)
    assert (first.pk, second.limit) == (second.pk, 2)


def test_the_tightest_quota_refuses_and_the_others_are_not_charged(
    book: Book, acme: Tenant, key: ApiKey
) -> None:
    wide, narrow = quota(acme, 100), quota(acme, 1, api_key=key)
    assert book.take(Asked(acme, key), Asked(acme, key), Asked(acme)) == [True, False, True]
    assert (stands(wide), stands(narrow)) == ((0, 2), (0, 1))


def test_a_quota_set_in_mid_window_counts_what_was_before(
    book: Book, acme: Tenant, key: ApiKey
) -> None:
    done, running, long_ago = Asked(acme, key), Asked(acme), Asked(acme)
    book.reserve(done, running)
    book.settle(done.over(tokens=30))
    yesterday = Asked(acme, at=long_ago.at - timedelta(days=1))
    book.reserve(yesterday)
    assert stands(quota(acme, 1000, "tokens")) == (30, 100)
    assert stands(quota(acme, 1000, "tokens", api_key=key)) == (30, 0)
    ours = quota(acme, 3)
    assert stands(ours) == (1, 1)
    assert book.take(Asked(acme), Asked(acme)) == [True, False]
    book.settle(running.over())
    assert stands(ours) == (2, 1)


def test_limits_and_raises_hold_at_once(book: Book, acme: Tenant) -> None:
    alice, bob = (User.objects.create_user(f"{name}@acme.example") for name in ("alice", "bob"))
    ours = quota(acme, 1)
    assert book.take(Asked(acme), Asked(acme)) == [True, False]
    ours.change(2, by="test")
    assert book.take(Asked(acme), Asked(acme)) == [True, False]
    soon = datetime.now(UTC) + timedelta(hours=1)
    more = QuotaRaise.ask(ours, 2, "a demonstration", soon, user=alice, by="test")
    assert book.take(Asked(acme)) == [False]
    more.approve(user=bob, by="test")
    assert book.take(*[Asked(acme) for _ in range(3)]) == [True, True, False]
    type(more).objects.filter(pk=more.pk).update(expires_at=datetime.now(UTC))
    assert book.take(Asked(acme)) == [False]
    ours.change(5, by="test")
    assert book.take(Asked(acme), Asked(acme)) == [True, False]
    ours.drop(by="test")
    assert book.take(Asked(acme)) == [True]
    assert LedgerEntry.objects.count() == 6


def test_a_request_counts_in_the_window_in_which_it_came_in(book: Book, acme: Tenant) -> None:
    ours = quota(acme, 1)
    midnight = ours.balance().starts
    late = Asked(acme, at=midnight - timedelta(seconds=1))
    early = Asked(acme, at=midnight + timedelta(seconds=1))
    assert book.take(late, early, Asked(acme, at=early.at)) == [True, True, False]
    book.settle(late.over(at=early.at))
    before = ours.balance(late.at)
    assert (before.used, before.reserved, before.ends) == (1, 0, midnight)
    assert stands(ours) == (0, 1)


def test_in_another_time_zone_the_old_day_goes_on_binding(book: Book, acme: Tenant) -> None:
    ours = quota(acme, 2)
    ends = ours.balance().ends
    at = ends - timedelta(hours=1)
    first, second = Asked(acme, at=at), Asked(acme, at=at)
    assert book.take(first) == [True]
    acme.time_zone = "Pacific/Auckland"
    acme.save()
    assert book.take(second, Asked(acme, at=at)) == [True, False]
    book.settle(first.over(at=at), second.over(at=at))
    QuotaCounter.objects.exclude(ends=ends).update(used=0)  # as if its day had begun just now
    assert book.take(Asked(acme, at=at)) == [False]
    assert ours.balance(at).used == 2
    assert book.take(Asked(acme, at=ends)) == [True]  # when the old day is over
    assert QuotaCounter.objects.count() == 2


def test_a_window_opens_for_all_quotas_with_the_first_request(book: Book, acme: Tenant) -> None:
    """The sum of one that is used for once would come when the ledger has grown."""
    quota(acme, 9)
    rare = quota(acme, 9, model="rare")
    tomorrow = rare.balance().ends + timedelta(seconds=1)
    assert book.take(Asked(acme, at=tomorrow)) == [True]
    assert rare.counters.count() == 2


def test_a_rotated_keys_quota_counts_both(book: Book, acme: Tenant, key: ApiKey) -> None:
    ours = quota(acme, 3, api_key=key)
    before = Asked(acme, key)
    book.reserve(before)
    fresh, _ = key.rotate(by="test", overlap=timedelta(hours=1))
    assert book.take(Asked(acme, fresh), Asked(acme, key), Asked(acme, key)) == [True, True, False]
    book.settle(before.over())
    ours.refresh_from_db()
    assert (ours.api_key_id, stands(ours)) == (fresh.id, (1, 2))
    QuotaCounter.objects.all().delete()
    assert stands(ours) == (1, 2)  # as the ledger has it


def test_a_key_that_has_been_rotated_gets_no_quota_and_no_rule(
    book: Book, acme: Tenant, key: ApiKey
) -> None:
    """They would count no request: the new key stands in its place."""
    fresh, _ = key.rotate(by="test", overlap=timedelta(hours=1))
    with pytest.raises(ValidationError, match="rotated already"):
        quota(acme, 1, api_key=key)
    with pytest.raises(ValidationError, match="rotated already"):
        CacheRule.set(acme, on=True, by="test", api_key=key)
    quota(acme, 1, api_key=fresh)
    assert book.take(Asked(acme, key), Asked(acme, key)) == [True, False]
    assert not acme.cache_rules.exists()


def test_a_settlement_takes_scope_and_amounts_from_the_ledger(
    book: Book, acme: Tenant, key: ApiKey
) -> None:
    ours = quota(acme, 1000, "tokens", api_key=key)
    asked = Asked(acme, key, tokens=500)
    book.reserve(asked)
    outline = Asked(acme, id=asked.id, model="?")  # its text has been erased: who paid is unknown
    book.settle(outline.over(tokens=0, status=504))
    assert stands(ours) == (0, 0)
    entry = LedgerEntry.objects.get(kind="release")
    assert (entry.api_key_id, entry.model) == (key.id, "mock")


def test_80_and_100_percent_are_told_once(book: Book, acme: Tenant) -> None:
    ours = quota(acme, 10)
    for done in range(1, 11):
        asked = Asked(acme)
        book.reserve(asked)
        book.settle(asked.over())
        told = list(QuotaNotice.objects.order_by("percent").values_list("percent", flat=True))
        assert told == ([] if done < 8 else [80] if done < 10 else [80, 100])
    events = Event.objects.filter(action="quota:reached", tenant_id=acme.id).order_by("id")
    assert [event.detail["percent"] for event in events] == [80, 100]
    assert events[0].detail["quota"] == str(ours.id)
    assert (events[0].detail["used"], events[0].detail["limit"]) == (8, 10)
    tomorrow = Asked(acme, at=ours.balance().ends + timedelta(hours=1))
    for _ in range(8):
        asked = Asked(acme, at=tomorrow.at)
        book.reserve(asked)
        book.settle(asked.over())
    assert QuotaNotice.objects.filter(percent=80).count() == 2


def test_what_is_told_counts_a_raise_as_the_percentage_does(book: Book, acme: Tenant) -> None:
    ours, ends = quota(acme, 5), datetime.now(UTC) + timedelta(days=1)
    raised = {"amount": 5, "expires_at": ends, "state": "approved", "reason": "a rush"}
    QuotaRaise.objects.create(tenant=acme, quota=ours, **raised)
    for _ in range(8):
        asked = Asked(acme)
        book.reserve(asked)
        book.settle(asked.over())
    detail = Event.objects.get(action="quota:reached").detail
    assert (detail["percent"], detail["used"], detail["limit"]) == (80, 8, 10)


def test_a_quota_of_nothing_lets_nothing_in_and_a_free_model_costs_nothing(
    book: Book, acme: Tenant
) -> None:
    quota(acme, 0, "cost")
    assert book.take(Asked(acme, cost=1), Asked(acme, cost=0)) == [False, True]
    quota(acme, 0, model="large")
    assert book.take(Asked(acme, model="large"), Asked(acme)) == [False, True]
    assert not QuotaNotice.objects.exists()


def test_what_was_used_beyond_the_limit_keeps_the_next_out(book: Book, acme: Tenant) -> None:
    ours = quota(acme, 100, "tokens")
    asked = Asked(acme, tokens=50)
    book.reserve(asked)
    book.settle(asked.over(tokens=120))
    assert ours.balance().remaining == 0
    assert book.take(Asked(acme, tokens=1), Asked(acme, tokens=0)) == [False, True]


_MANY = """
    insert into tenants_ledgerentry (at, counts_at, tenant_id, request_id, kind, model, requests,
                                     tokens, cost)
    select now(), now(), %s, gen_random_uuid(), 'reserve', 'mock', 1, 100, 0
    from generate_series(1, 3000)"""
_READ = """
    select sum(idx_tup_fetch + seq_tup_read) from pg_stat_xact_user_tables
    where relname in ('tenants_ledgerentry', 'tenants_quota', 'tenants_quotacounter')"""


@pytest.mark.parametrize("limited", [False, True])
def test_what_a_group_reads_does_not_grow_with_the_ledger(
    book: Book, acme: Tenant, *, limited: bool
) -> None:
    """Whatever PostgreSQL believes of a ledger that was empty when it looked last."""
    book.connection.execute("analyze tenants_ledgerentry")
    if limited:
        quota(acme, 100_000)
        book.reserve(Asked(acme))  # opens the counter
    book.connection.execute(_MANY, [acme.id])
    asked = [Asked(acme) for _ in range(8)]
    with book.connection.transaction():
        book.reserve(*asked)
        assert len(book.settle(*[each.over() for each in asked])) == 8
        [(read,)] = book.connection.execute(_READ).fetchall()
    assert read < 200


# GPU time ----------------------------------------------------------------------------------------
def test_a_quota_of_gpu_seconds_counts_jobs_and_no_other_request(book: Book, acme: Tenant) -> None:
    hour = quota(acme, 60, "gpu_seconds")
    job, answer = Asked(acme, gpu_ms=40_000), Asked(acme)
    assert book.take(job, answer) == [True, True]
    assert stands(hour) == (0, 40)
    refusal = book.reserve(second := Asked(acme, gpu_ms=20_001))[second.id].out_of
    assert refusal
    assert (refusal.unit, refusal.limit, refusal.asked) == ("gpu_seconds", 60, 21)
    assert "60 GPU-seconds per day" in str(refusal)
    book.settle(job.over(gpu_ms=1_500), answer.over())
    assert stands(hour) == (2, 0)
    assert book.take(Asked(acme, gpu_ms=58_000)) == [True]


def test_a_quota_of_gpu_seconds_set_in_mid_window_counts_what_was_before(
    book: Book, acme: Tenant
) -> None:
    ended, runs = Asked(acme, gpu_ms=9_000), Asked(acme, gpu_ms=4_000)
    book.reserve(ended, runs)
    book.settle(ended.over(tokens=0, gpu_ms=7_001))
    assert stands(quota(acme, 60, "gpu_seconds")) == (8, 4)


def test_a_row_of_an_earlier_version_sets_no_gpu_time_aside(book: Book, acme: Tenant) -> None:
    hour, asked = quota(acme, 60, "gpu_seconds"), Asked(acme)
    row = {name: value for name, value in asked.row.items() if name != "gpu_ms"}
    book._run("tenants_reserve", [row])
    ending = {name: value for name, value in asked.over().items() if name != "gpu_ms"}
    book._run("tenants_settle", [ending])
    assert stands(hour) == (0, 0)


# Sessions ----------------------------------------------------------------------------------------
ONE, OTHER = UUID(int=1), UUID(int=2)


def of_session(tenant: Tenant, limit: int, unit: str = "requests", **more: Any) -> Quota:
    return quota(tenant, limit, unit, window="session", **more)


def in_session(tenant: Tenant, session: UUID | None = ONE, **more: Any) -> Asked:
    return Asked(tenant, **{"session": session, **more})


def test_each_session_has_the_budget_for_itself(book: Book, acme: Tenant) -> None:
    of_session(acme, 2)
    calls = [in_session(acme), in_session(acme, OTHER), in_session(acme), in_session(acme)]
    assert book.take(*calls) == [True, True, True, False]
    assert book.take(in_session(acme), in_session(acme, OTHER)) == [False, True]
    assert book.take(*[Asked(acme) for _ in range(5)]) == [True] * 5  # without a session


def test_a_sessions_refusal_says_that_it_is_the_sessions(book: Book, acme: Tenant) -> None:
    ours = of_session(acme, 250, "tokens")
    done, refused = in_session(acme), in_session(acme, tokens=200)
    book.reserve(done)
    book.settle(done.over(tokens=60))
    refusal = book.reserve(refused)[refused.id].out_of
    assert refusal
    assert (refusal.quota_id, refusal.window) == (ours.id, "session")
    assert (refusal.limit, refusal.used, refusal.reserved, refusal.asked) == (250, 60, 0, 200)
    assert "250 tokens per session" in str(refusal)
    left = book.reserve(small := in_session(acme))[small.id].tightest["tokens"]
    assert (left.remaining, left.resets) == (90, False)


def test_a_session_goes_on_over_midnight_and_into_another_month(book: Book, acme: Tenant) -> None:
    of_session(acme, 1)
    assert book.take(first := in_session(acme)) == [True]
    book.settle(first.over())
    later = first.at + timedelta(days=40)
    assert book.take(in_session(acme, at=later), in_session(acme, OTHER, at=later)) == [False, True]


def test_a_sessions_quota_counts_what_was_before_it(book: Book, acme: Tenant, key: ApiKey) -> None:
    done, runs = in_session(acme), in_session(acme, model="large")
    book.reserve(done, runs)
    book.settle(done.over(tokens=30))
    all_models, large = of_session(acme, 300, "tokens"), of_session(acme, 9, model="large")
    assert stands(all_models) == (0, 0)  # no counter yet
    assert book.take(in_session(acme, key=key), in_session(acme, tokens=171)) == [True, False]
    assert stands(all_models) == (30, 200)
    assert book.take(in_session(acme, model="large", tokens=0)) == [True]
    assert stands(large) == (0, 2)
    book.settle(runs.over(tokens=50))
    assert (stands(all_models), stands(large)) == ((80, 100), (1, 1))


def test_a_window_and_a_session_bind_together(book: Book, acme: Tenant) -> None:
    day, session = quota(acme, 3), of_session(acme, 2)
    calls = [in_session(acme), in_session(acme), in_session(acme), in_session(acme, OTHER)]
    assert book.take(*calls, Asked(acme)) == [True, True, False, True, False]
    assert (stands(day), stands(session)) == ((0, 3), (0, 2))
    book.settle(calls[0].over(tokens=0, status=499))
    assert (stands(day), stands(session)) == ((0, 2), (0, 1))
    assert session.balance().session in (ONE, OTHER)


def test_an_idle_session_is_forgotten_and_known_again(book: Book, acme: Tenant) -> None:
    ours = of_session(acme, 2)
    first, runs = in_session(acme), in_session(acme, OTHER)
    book.reserve(first, runs)
    book.settle(first.over())
    assert windows.forget_sessions(acme.id, first.at - timedelta(days=1)) == 0
    assert windows.forget_sessions(acme.id, datetime.now(UTC)) == 1  # one has a request running
    assert [counter.session for counter in ours.counters.all()] == [OTHER]
    assert book.take(in_session(acme), in_session(acme)) == [True, False]


def test_sessions_of_two_tenants_are_two(book: Book, acme: Tenant, globex: Tenant) -> None:
    of_session(acme, 1)
    of_session(globex, 1)
    calls = [in_session(acme), in_session(globex), in_session(acme), in_session(globex)]
    assert book.take(*calls) == [True, True, False, False]


def test_a_full_session_tells_nobody_else(book: Book, acme: Tenant) -> None:
    of_session(acme, 1)
    book.reserve(asked := in_session(acme))
    book.settle(asked.over())
    assert not QuotaNotice.objects.exists()


def test_a_sessions_raise_holds_for_each_session(book: Book, acme: Tenant) -> None:
    alice, bob = (User.objects.create_user(f"{name}@acme.example") for name in ("alice", "bob"))
    ours, soon = of_session(acme, 1), datetime.now(UTC) + timedelta(hours=1)
    more = QuotaRaise.ask(ours, 1, "a long task", soon, user=alice, by="test")
    more.approve(user=bob, by="test")
    calls = [in_session(acme), in_session(acme), in_session(acme), in_session(acme, OTHER)]
    assert book.take(*calls) == [True, True, False, True]


_SESSIONS = """
    insert into tenants_quotacounter (tenant_id, quota_id, session, starts, ends, used, reserved)
    select tenant_id, quota_id, gen_random_uuid(), starts, ends, 0, 0
    from tenants_quotacounter, generate_series(1, 3000) where quota_id = %s"""


def test_many_sessions_cost_the_next_request_nothing(book: Book, acme: Tenant) -> None:
    ours = of_session(acme, 100_000)
    book.reserve(in_session(acme))
    with connection.cursor() as cursor:
        cursor.execute(_SESSIONS, [ours.id])
    asked = [in_session(acme) for _ in range(4)] + [Asked(acme) for _ in range(4)]
    with book.connection.transaction():
        book.reserve(*asked)
        assert len(book.settle(*[each.over() for each in asked])) == 8
        [(read,)] = book.connection.execute(_READ).fetchall()
    assert read < 200
