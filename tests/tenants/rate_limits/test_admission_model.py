"""Admission against a model in Python, with clocks that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from fractions import Fraction
from uuid import uuid4

import pytest
from django.conf import settings as configured
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tenants.caller import Caller, Limits
from tenants.rate_limits.admission import LIGHT, MEGABYTE, Admission, Ask, SharedAdmission
from tenants.rate_limits.held_slots import HeldSlot, release, undo
from tests.tenants.callers import caller
from tests.tenants.conftest import NewLink
from tests.tenants.played_clock import DATABASE, Clock, played_clock

SLACK = Fraction(1, 10**5)  # the script reckons with floating point
IP = "198.51.100.7"


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clock]:
    async with played_clock(monkeypatch) as clock:
        yield clock


@dataclass
class Bucket:
    rate: int | Fraction
    size: int
    level: Fraction = Fraction(0)
    at: int = 0

    def fill(self, now: int) -> None:
        passed = Fraction(max(0, now - self.at))
        self.level, self.at = (
            min(Fraction(self.size), self.level + passed * self.rate / 60_000),
            now,
        )


@dataclass
class Model:
    """What the limits mean: an address, and a tenant and a key with two buckets and places each."""

    per_ip: int
    limits: dict[str, Limits]  # by prefix: "key_" and ""
    now: int
    strict_since: int | None = None
    seen: list[int] = field(default_factory=list)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    places: dict[str, dict[str, tuple[int, int]]] = field(  # until when, and bytes
        default_factory=lambda: {"key_": {}, "": {}}
    )

    def __post_init__(self) -> None:
        for prefix, limits in self.limits.items():
            if rate := limits.requests_per_minute:
                size = limits.burst or rate
                self.buckets[f"{prefix}rate"] = Bucket(rate, size, Fraction(size), self.now)
            if rate := limits.tokens_per_minute:
                self.buckets[f"{prefix}tokens"] = Bucket(rate, rate, Fraction(rate), self.now)
            if size := limits.megabytes_per_day * MEGABYTE:
                per_minute = Fraction(size, 1440)
                self.buckets[f"{prefix}stored"] = Bucket(per_minute, size, Fraction(size), self.now)

    def lose_everything(self) -> None:
        self.strict_since = self.now
        for tier, bucket in self.buckets.items():
            bucket.level = Fraction(bucket.rate if tier.endswith("stored") else 0)
            bucket.at = self.now
        self.seen, self.places = [], {"key_": {}, "": {}}

    def closed(self, tokens: int, size: int) -> tuple[set[str], set[str]]:
        """The tiers that refuse, and those where floating point may go either way."""
        surely, perhaps = set[str](), set[str]()
        self.seen = [at for at in self.seen if at > self.now - 60_000]
        if self.per_ip and len(self.seen) >= self.per_ip:
            surely.add("ip")
        if self.per_ip and self.strict_since is not None:
            since = self.now - self.strict_since
            if since < 60_000 and since < -(-(len(self.seen) + 1) * 60_000 // self.per_ip):
                surely.add("ip")
        for tier, bucket in self.buckets.items():
            bucket.fill(self.now)
            needed = min(_amount(tier, 1, tokens, size), bucket.size)
            if bucket.level < needed - SLACK:
                surely.add(tier)
            elif bucket.level < needed + SLACK and bucket.level != needed:
                perhaps.add(tier)
        for prefix, places in self.places.items():
            at_once = self.limits[prefix].max_concurrency
            running = [n for until, n in places.values() if until > self.now]
            if at_once and len(running) >= at_once:
                surely.add(f"{prefix}concurrency")
            most, flying = (
                self.limits[prefix].megabytes_in_flight,
                sum(n for n in running if n > LIGHT),
            )
            if most and size > LIGHT and flying and flying + size > most * MEGABYTE:
                surely.add(f"{prefix}bytes")
        return surely, perhaps

    def take(self, ask: Ask) -> None:
        self.seen.append(self.now)
        for tier, bucket in self.buckets.items():
            bucket.level -= _amount(tier, 1, ask.tokens, ask.bytes)
        for places in self.places.values():
            places[ask.request_id] = self.now + ask.hold_s * 1000, ask.bytes

    def release(self, ask: Ask, tokens: int, requests: int, size: int) -> None:
        held = self.places[""].pop(ask.request_id, None)
        self.places["key_"].pop(ask.request_id, None)
        if held is None:
            return
        for tier, bucket in self.buckets.items():
            bucket.fill(self.now)
            given = _amount(tier, requests, tokens, size)
            bucket.level = min(Fraction(bucket.size), bucket.level + given)


def _amount(tier: str, requests: int, tokens: int, size: int) -> int:
    return {"rate": requests, "tokens": tokens, "stored": size}[tier.removeprefix("key_")]


limit = st.sampled_from([0, 1, 2, 3, 7])
a_tier = st.builds(
    Limits,
    st.sampled_from([0, 1, 6, 60, 1000]),
    st.sampled_from([0, 1, 2, 5]),
    st.sampled_from([0, 50, 600]),
    limit,
    st.sampled_from([0, 0, 1, 3]),
    st.sampled_from([0, 0, 1, 10]),
)
moves = st.one_of(
    st.just(0), st.integers(1, 900), st.integers(900, 70_000), st.integers(3_600_000, 90_000_000)
)
sizes = st.sampled_from([0, 500, LIGHT, LIGHT + 1, 400_000, 1_100_000, 4_000_000])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), moves, st.sampled_from([0, 10, 60, 700]), sizes),
        st.tuples(st.just("give back"), st.integers(0, 9), st.sampled_from([-50, 0, 5, 60]), sizes),
        st.tuples(st.just("undo"), st.integers(0, 9), st.just(0), st.just(0)),
        st.tuples(st.just("lose"), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=40,
)
LOSE = ("lose", 0, 0, 0)
with_clock = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def attempt(
    shared: SharedAdmission, who: Caller, *, per_ip: int = 0, hold_s: int = 60, tokens: int = 0
) -> Admission:
    asked = Ask.of(
        who, str(uuid4()), client_ip=IP, per_address=per_ip, tokens=tokens, hold_s=hold_s
    )
    admission, _ = await shared.admit(asked)
    return admission


@with_clock
@given(limit, a_tier, a_tier, st.sampled_from([1, 5, 90]), steps)
@example(0, Limits(), Limits(megabytes_per_day=1), 1, [LOSE, ("ask", 0, 0, 500)])
async def test_it_decides_as_the_model_does(
    clock: Clock,
    per_ip: int,
    tenant: Limits,
    key: Limits,
    hold_s: int,
    steps: list[tuple[str, int, int, int]],
) -> None:
    await clock.lose_everything()
    shared, who = clock.shared(), caller(key=key, limits=tenant)
    await attempt(shared, caller())  # it knows the epoch
    model = Model(per_ip, {"key_": key, "": tenant}, clock.redis_ms)
    running: list[tuple[Ask, int]] = []
    admitted: list[int] = []
    lost = False
    for step, n, tokens, size in steps:
        if step == "ask":
            await clock.move(n)
            model.now = clock.redis_ms
            ask = Ask.of(
                who,
                str(uuid4()),
                client_ip=IP,
                per_address=per_ip,
                tokens=tokens,
                hold_s=hold_s,
                size=size,
            )
            found, counted_at = await shared.admit(ask)
            surely, perhaps = model.closed(tokens, size)
            if found.tier:
                assert found.tier in surely | perhaps
                assert found.frees_in_ms >= 1
            else:
                assert not surely
                model.take(ask)
                running.append((ask, counted_at))
                admitted.append(clock.redis_ms)
        elif step == "lose":
            lost = True
            await clock.lose_everything()
            await attempt(shared, caller())
            model.lose_everything()
        elif n < len(running):
            ask, counted_at = running[n]
            place = HeldSlot(ask.request_id, ask.tenant, ask.key, ask.bytes)
            if step == "give back":
                if await release(clock.link, place, 0, -tokens, size):
                    model.release(ask, tokens, 0, -size)
            elif await undo(clock.link, ask, counted_at):
                model.release(ask, ask.tokens, 1, ask.bytes)
                if counted_at in model.seen:
                    model.seen.remove(counted_at)
                admitted.remove(counted_at)
    _never_more_than_the_bound(admitted, model, lost)


def _never_more_than_the_bound(times: list[int], model: Model, lost: bool) -> None:
    """In no window of time, and not even when Redis lost its data in the middle of it."""
    buckets = [bucket for tier, bucket in model.buckets.items() if tier.endswith("rate")]
    for i, start in enumerate(times):
        for j in range(i, len(times)):
            let_in, passed = j - i + 1, times[j] - start
            for bucket in buckets:
                assert let_in <= bucket.size + Fraction(passed * bucket.rate, 60_000) + SLACK
            if model.per_ip and passed < 60_000:
                more = Fraction(passed * model.per_ip, 60_000) if lost else 0
                assert let_in <= model.per_ip + more


@with_clock
@given(
    per_minute=st.integers(1, 5000),
    burst=st.integers(1, 20),
    moves=st.lists(st.integers(0, 20_000), max_size=12),
)
@example(per_minute=1, burst=1, moves=[0, 0])
@example(per_minute=1, burst=3, moves=[0, 76, 76])  # 60,000 x 1/60,000 falls short of 1 here
async def test_the_time_told_is_true(
    clock: Clock, per_minute: int, burst: int, moves: list[int]
) -> None:
    """When the bucket refuses: after that time it lets one in, and not a moment earlier."""
    shared, who = clock.shared(), caller(per_minute, burst)
    for move in moves:
        await clock.move(move)
        await attempt(shared, who)
    while not (refused := await attempt(shared, who)).tier:
        pass
    if refused.frees_in_ms > 2:
        await clock.move(refused.frees_in_ms - 2)
        assert (await attempt(shared, who)).tier == "rate"
        await clock.move(2)
    else:
        await clock.move(refused.frees_in_ms)
    assert (await attempt(shared, who)).tier == ""
    assert (await attempt(shared, who)).tier == "rate" or per_minute > 1000


@with_clock
@given(per_ip=st.integers(1, 5), moves=st.lists(st.integers(0, 30_000), max_size=10))
async def test_the_address_is_let_in_again_when_told(
    clock: Clock, per_ip: int, moves: list[int]
) -> None:
    await clock.lose_everything()
    shared, who = clock.shared(), caller()
    for move in moves:
        await clock.move(move)
        await attempt(shared, who, per_ip=per_ip)
    while not (refused := await attempt(shared, who, per_ip=per_ip)).tier:
        pass
    await clock.move(refused.frees_in_ms - 1)
    assert (await attempt(shared, who, per_ip=per_ip)).tier == "ip"
    await clock.move(1)
    assert (await attempt(shared, who, per_ip=per_ip)).tier == ""


@pytest.mark.parametrize("burst", [2, 50, 200])
async def test_under_saturation_all_of_the_limit_is_admitted(clock: Clock, burst: int) -> None:
    """More than 98 % of it, each tier alone, however the requests are spread."""
    shared = clock.shared()
    who = caller(per_minute=100, burst=burst)
    with_tokens, by_address = caller(tokens=5000), caller()
    let_in = {"rate": 0, "tokens": 0, "ip": 0}
    for _ in range(2400):  # five minutes
        await clock.move(125)
        let_in["rate"] += not (await attempt(shared, who)).tier
        let_in["tokens"] += not (await attempt(shared, with_tokens, tokens=50)).tier
        let_in["ip"] += not (await attempt(shared, by_address, per_ip=100)).tier
    assert 0.98 * 500 <= let_in["rate"] <= 500 + burst
    assert 0.98 * 500 <= let_in["tokens"] <= 500 + 100
    assert 0.98 * 500 <= let_in["ip"] <= 500


async def test_a_burst_of_zero_sets_no_limit_of_its_own(clock: Clock) -> None:
    shared, who = clock.shared(), caller(per_minute=60, burst=0)
    answers = [await attempt(shared, who) for _ in range(61)]
    assert [answer.tier for answer in answers] == [""] * 60 + ["rate"]


async def test_places_expire_by_redis_clock(clock: Clock) -> None:
    shared, who = clock.shared(), caller(at_once=2)
    await attempt(shared, who, hold_s=10)
    await clock.move(5_000)
    await attempt(shared, who, hold_s=10)
    assert (await attempt(shared, who, hold_s=10)).tier == "concurrency"
    await clock.move(4_999)
    assert (await attempt(shared, who, hold_s=10)).frees_in_ms == 1
    await clock.move(1)
    assert (await attempt(shared, who, hold_s=10)).tier == ""
    assert (await attempt(shared, who, hold_s=10)).tier == "concurrency"


# Clocks that are set ----------------------------------------------------------------------------
@with_clock
@given(
    st.lists(
        st.tuples(st.integers(0, 20_000), st.sampled_from([0, 0, 0, -1, 1])),
        min_size=1,
        max_size=25,
    ),
    st.sampled_from([3_000, 60_000, 3_600_000, 86_400_000]),
)
async def test_a_clock_that_is_set_gives_nothing_and_takes_nothing(
    clock: Clock, moves: list[tuple[int, int]], jump: int
) -> None:
    """Two tenants with the same limits, one of them while somebody plays with Redis's clock."""
    answers: list[list[str]] = []
    for plays in (0, 1):
        await clock.lose_everything()
        shared = clock.shared()
        who = caller(6, 3, 2, 300, key=Limits(60, 2, 600, 3))
        found = []
        for move, direction in moves:
            await clock.move(move)
            await clock.jump(direction * jump * plays)
            found.append((await attempt(shared, who, per_ip=4, tokens=50, hold_s=30)).tier)
        answers.append(found)
    assert answers[0] == answers[1]


async def test_other_processes_go_by_the_same_clock(clock: Clock, new_link: NewLink) -> None:
    one, other, who = clock.shared(), clock.shared(), caller(per_minute=6, burst=1)
    for shared in (one, other):
        await attempt(shared, caller())
    await attempt(one, who)
    await clock.jump(3_600_000)
    assert [(await attempt(shared, who)).tier for shared in (one, other)] == ["rate"] * 2
    await clock.move(10_000)
    assert [(await attempt(shared, who)).tier for shared in (other, one)] == ["", "rate"]


async def test_a_clock_set_back_that_nobody_noticed_takes_little(clock: Clock) -> None:
    """All web processes were away meanwhile."""
    who = caller(per_minute=60, burst=5)
    for _ in range(5):
        await attempt(clock.shared(), who, per_ip=5)
    await clock.jump(-3_600_000)
    later = clock.shared()
    assert (await attempt(later, who)).tier == "rate"
    refused = await attempt(later, caller(), per_ip=5)
    assert (refused.tier, refused.frees_in_ms) == ("ip", 60_000)
    await clock.move(5_000)
    assert [(await attempt(later, who)).tier for _ in range(6)] == [""] * 5 + ["rate"]


# Redis that lost its data -----------------------------------------------------------------------
async def test_the_first_processes_find_full_buckets(clock: Clock) -> None:
    who = caller(per_minute=6, burst=5)
    answers = [await attempt(clock.shared(), who) for _ in range(6)]
    assert [answer.tier for answer in answers] == [""] * 5 + ["rate"]


async def test_after_a_loss_nobody_gets_a_second_burst(clock: Clock, new_link: NewLink) -> None:
    url = configured.REDIS_URL.rpartition("/")[0] + DATABASE
    each = [clock.shared(new_link(url)) for _ in range(4)]
    who = caller(per_minute=60, burst=40)

    async def rush() -> int:
        asked = [attempt(each[n % 4], who, hold_s=600) for n in range(256)]
        return sum(not answer.tier for answer in await asyncio.gather(*asked))

    assert await rush() == 40
    await clock.lose_everything()
    assert await rush() == 0
    await clock.move(3_000)
    assert await rush() == 3
    await clock.lose_everything()
    await clock.move(1_000)
    assert await rush() == 0  # the epoch begins when somebody looks
    await clock.move(60_000)
    assert await rush() == 40
    stranger = clock.shared()  # started after the loss: it goes by the others' epoch
    assert (await attempt(stranger, caller(per_minute=6, burst=5))).tier == ""


async def test_what_is_in_progress_is_restored_before_anybody_comes_in(clock: Clock) -> None:
    restored: list[str] = []

    async def restore() -> None:
        restored.append("now")

    shared = SharedAdmission(clock.link, restore)
    await attempt(shared, caller())
    assert restored == []
    await clock.lose_everything()
    for _ in range(2):
        await attempt(shared, caller())
    assert restored == ["now"]
