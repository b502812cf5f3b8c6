"""Without Redis: a process's own share of every limit, from empty buckets on."""

from fractions import Fraction
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.caller import Caller, Limits
from tenants.rate_limits import local_admission as module
from tenants.rate_limits.admission import LIGHT, Ask
from tenants.rate_limits.local_admission import LocalAdmission
from tests.tenants.callers import caller

pytestmark = pytest.mark.unit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def asked(who: Caller, tokens: int = 0, ip: str = "", per_ip: int = 0, size: int = 0) -> Ask:
    request_id = str(uuid4())
    return Ask.of(who, request_id, client_ip=ip, per_address=per_ip, tokens=tokens, size=size)


def let_in(local: LocalAdmission, who: Caller, times: int, **more: object) -> int:
    answers = [local.admit(asked(who, **more)) for _ in range(times)]  # type: ignore[arg-type]
    return sum(not answer.tier for answer in answers)


def test_without_limits_everybody_comes_in(clock: Clock) -> None:
    local = LocalAdmission(1, clock)
    assert let_in(local, caller(), 1000) == 1000
    assert local.owed == {}


def test_buckets_start_empty_and_refill_with_this_processs_share(clock: Clock) -> None:
    local, who = LocalAdmission(4, clock), caller(per_minute=240, burst=200)
    refused = local.admit(asked(who))
    assert (refused.tier, refused.limit, refused.frees_in_ms) == ("rate", 240, 1000)
    clock.now += 1
    assert let_in(local, who, 5) == 1
    clock.now += 3600
    assert let_in(local, who, 100) == 50


def test_each_outage_starts_from_empty_buckets(clock: Clock) -> None:
    local, who = LocalAdmission(1, clock), caller(per_minute=60, burst=60)
    clock.now += 3600
    assert let_in(local, who, 1) == 1, "they filled while Redis was away"
    local.begin()
    assert let_in(local, who, 1) == 0


def test_small_requests_do_not_wait_for_the_days_bytes(clock: Clock) -> None:
    """A minute's worth is there at once: else all would be refused as Redis goes."""
    local, who = LocalAdmission(2, clock), caller(limits=Limits(megabytes_per_day=1440))
    assert let_in(local, who, 3000, size=500) == 1000


def test_every_tier_holds(clock: Clock) -> None:
    local = LocalAdmission(1, clock)
    clock.now += 60
    assert let_in(local, caller(per_minute=6, burst=20), 100) == 6
    assert let_in(local, caller(key=Limits(6, 3)), 100) == 3
    assert let_in(local, caller(tokens=100), 100, tokens=30) == 3
    assert let_in(local, caller(key=Limits(tokens_per_minute=100)), 100, tokens=50) == 2
    assert let_in(local, caller(at_once=7), 100) == 7
    assert let_in(local, caller(key=Limits(max_concurrency=2)), 100) == 2
    assert let_in(local, caller(limits=Limits(megabytes_in_flight=4)), 9, size=1_500_000) == 2
    assert let_in(local, caller(key=Limits(megabytes_in_flight=4)), 9, size=5_000_000) == 1
    assert let_in(local, caller(limits=Limits(megabytes_in_flight=1)), 100, size=LIGHT) == 100
    assert let_in(local, caller(limits=Limits(megabytes_per_day=1440)), 9, size=300_000) == 6
    assert let_in(local, caller(), 100, ip="192.0.2.1", per_ip=9) == 9
    assert local.admit(asked(caller(), 0, "192.0.2.1", 9)).tier == "ip"


def test_what_takes_no_slot_is_not_counted(clock: Clock) -> None:
    local, who = LocalAdmission(1, clock), caller(at_once=2)
    without = [Ask.of(who, str(uuid4()), takes_slot=False) for _ in range(3)]
    assert {local.admit(ask).tier for ask in without} == {""}
    assert let_in(local, who, 5) == 2
    assert not local.admit(Ask.of(who, str(uuid4()), takes_slot=False)).tier


def test_a_refusal_costs_nothing_at_the_other_tiers(clock: Clock) -> None:
    local, who = LocalAdmission(1, clock), caller(per_minute=6, burst=2, at_once=1)
    clock.now += 60
    held = asked(who)
    assert local.admit(held).tier == ""
    assert let_in(local, who, 10) == 0
    local.over(held.request_id)
    assert let_in(local, who, 10) == 1


def test_what_ran_before_counts_among_the_requests_at_once(clock: Clock) -> None:
    local, who = LocalAdmission(2, clock), caller(at_once=10)
    busy = {str(who.tenant_id): 3}
    answers = [local.admit(asked(who), lambda owner: [0] * busy.get(owner, 0)) for _ in range(9)]
    assert [answer.tier for answer in answers] == [""] * 2 + ["concurrency"] * 7
    alone = caller(at_once=1)
    assert LocalAdmission(4, clock).admit(asked(alone)).tier == "concurrency"  # never open


@pytest.mark.parametrize(("limit", "shares"), [(1, [1, 0, 0]), (5, [2, 2, 1]), (6, [2, 2, 2])])
def test_all_processes_together_let_in_exactly_the_limit_at_once(
    clock: Clock, limit: int, shares: list[int]
) -> None:
    who = caller(at_once=limit)
    each = [LocalAdmission(3, clock, number=n) for n in (1, 2, 3)]
    assert [let_in(local, who, 10) for local in each] == shares
    nameless = [LocalAdmission(3, clock) for _ in range(3)]
    assert sum(let_in(local, who, 10) for local in nameless) <= limit


def test_one_larger_than_the_bucket_is_not_impossible(clock: Clock) -> None:
    local, who = LocalAdmission(2, clock), caller(tokens=100)
    clock.now += 60
    assert local.admit(asked(who, tokens=900)).tier == ""
    refused = local.admit(asked(who, tokens=1))
    assert refused.frees_in_ms == pytest.approx(851 / 50 * 60_000, abs=5)


def test_undone_it_is_as_if_it_had_never_come(clock: Clock) -> None:
    local, who = LocalAdmission(1, clock), caller(per_minute=6, burst=1, at_once=1, tokens=50)
    clock.now += 60
    for _ in range(5):
        ask = asked(who, tokens=50)
        assert local.admit(ask).tier == ""
        assert local.undo(ask.request_id)
        assert not local.undo(ask.request_id)
    assert local.owed == {}


def test_memory_is_bounded_and_forgetting_makes_nobody_richer(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUCKETS", 50)
    local, who = LocalAdmission(1, clock), caller(per_minute=60, burst=100)
    clock.now += 30
    assert let_in(local, who, 100) == 30
    for _ in range(500):
        local.admit(asked(caller(per_minute=60)))
    assert len(local._buckets) <= 50
    assert let_in(local, who, 100) == 0
    monkeypatch.setattr(module, "OWED", len(local.owed))
    clock.now += 60
    assert let_in(local, caller(per_minute=60), 1) == 0


@given(
    per_minute=st.integers(1, 5000),
    burst=st.integers(1, 300),
    processes=st.integers(1, 8),
    moves=st.lists(st.floats(0, 20), max_size=30),
)
def test_all_processes_together_stay_below_the_limit(
    per_minute: int, burst: int, processes: int, moves: list[float]
) -> None:
    clock, who = Clock(), caller(per_minute=per_minute, burst=burst)
    each = [LocalAdmission(processes, clock) for _ in range(processes)]
    admitted = 0
    for move in moves:
        clock.now += move
        admitted += sum(let_in(local, who, 3) for local in each)
    assert admitted <= Fraction(sum(map(Fraction, moves))) * per_minute / 60 + Fraction(1, 1000)
