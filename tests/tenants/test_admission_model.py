"""Admission against a model in Python, with a clock that the test moves."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from fractions import Fraction
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tenants import admission
from tenants.admission import Admission, admit
from tenants.caller import Caller
from tenants.redis_link import RedisLink, Script
from tests.tenants.callers import caller

SLACK = Fraction(1, 10**6)  # the script reckons with floating point


@dataclass
class Clock:
    """Stands where Redis's own clock stands in the script."""

    link: RedisLink
    key: str
    now: int = 1_700_000_000_000

    async def move(self, ms: int) -> None:
        self.now += ms
        await self.link.call("SET", self.key, self.now, "PX", 60_000)


@pytest.fixture
async def clock(link: RedisLink, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clock]:
    key = f"test:clock:{uuid4()}"
    text = admission._SCRIPT.text
    told = (
        f"(function() local ms = tonumber(redis.call('GET', '{key}'))"
        " return {math.floor(ms / 1000), ms % 1000 * 1000} end)()"
    )
    assert text.count("redis.call('TIME')") == 1
    moved = Script("0" * 40, text.replace("redis.call('TIME')", told))
    monkeypatch.setattr(admission, "_SCRIPT", moved)
    clock = Clock(link, key)
    await clock.move(0)
    yield clock
    await link.call("DEL", key)


@dataclass
class Model:
    """What the limits mean."""

    per_ip: int
    per_minute: int
    burst: int
    at_once: int
    seen: dict[int, int] = field(default_factory=dict)
    tokens: Fraction = Fraction(0)
    filled_at: int = 0
    places: list[int] = field(default_factory=list)
    admitted: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokens = Fraction(self.burst)

    def look(self, now: int) -> list[str]:
        """The tiers that may refuse now; two candidates where floating point may go either way."""
        if self.per_ip and self.seen.get(now // 60_000, 0) >= self.per_ip:
            return ["ip"]
        if self.per_minute:
            passed = Fraction(now - self.filled_at) if self.filled_at else Fraction(0)
            tokens = min(Fraction(self.burst), self.tokens + passed * self.per_minute / 60_000)
            if tokens < 1 - SLACK:
                return ["rate"]
            if tokens < 1:
                return ["rate", self._places(now)]
        return [self._places(now)]

    def _places(self, now: int) -> str:
        busy = [until for until in self.places if until > now]
        return "concurrency" if self.at_once and len(busy) >= self.at_once else ""

    def take(self, now: int, hold_ms: int) -> None:
        self.seen[now // 60_000] = self.seen.get(now // 60_000, 0) + 1
        if self.per_minute:
            passed = Fraction(now - self.filled_at) if self.filled_at else Fraction(0)
            filled = min(Fraction(self.burst), self.tokens + passed * self.per_minute / 60_000)
            self.tokens, self.filled_at = filled - 1, now
        self.places = [until for until in self.places if until > now] + [now + hold_ms]
        self.admitted.append(now)


limit = st.sampled_from([0, 1, 2, 3, 7])
moves = st.lists(st.one_of(st.just(0), st.integers(1, 900), st.integers(900, 70_000)), max_size=40)
with_clock = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def attempt(link: RedisLink, who: Caller, ip: str, per_ip: int, hold_s: int) -> Admission:
    return await admit(
        link, who, client_ip=ip, ip_per_minute=per_ip, request_id=str(uuid4()), hold_s=hold_s
    )


@with_clock
@given(
    per_ip=limit,
    per_minute=st.sampled_from([0, 1, 6, 7, 60, 100, 1000]),
    burst=st.sampled_from([1, 2, 5, 200]),
    at_once=limit,
    hold_s=st.sampled_from([1, 5, 90]),
    moves=moves,
)
async def test_it_decides_as_the_model_does(
    link: RedisLink,
    clock: Clock,
    per_ip: int,
    per_minute: int,
    burst: int,
    at_once: int,
    hold_s: int,
    moves: list[int],
) -> None:
    who, ip = caller(per_minute, burst, at_once), f"test-{uuid4()}"
    model = Model(per_ip, per_minute, burst, at_once)
    for move in moves:
        await clock.move(move)
        found = await attempt(link, who, ip, per_ip, hold_s)
        assert found.tier in model.look(clock.now)
        if not found.tier:
            model.take(clock.now, hold_s * 1000)
            assert found.remaining >= 0
        else:
            assert found.frees_in_ms >= 1
            assert found.remaining == 0
    _never_more_than_the_bound(model)


def _never_more_than_the_bound(model: Model) -> None:
    times = model.admitted
    for i, start in enumerate(times):
        for j in range(i, len(times)):
            let_in, passed = j - i + 1, times[j] - start
            if model.per_minute:
                assert let_in <= model.burst + Fraction(passed * model.per_minute, 60_000) + SLACK
            if model.per_ip and start // 60_000 == times[j] // 60_000:
                assert let_in <= model.per_ip


@with_clock
@given(
    per_minute=st.integers(1, 5000),
    burst=st.integers(1, 20),
    moves=st.lists(st.integers(0, 20_000), max_size=12),
)
@example(per_minute=1, burst=1, moves=[0, 0])
async def test_the_time_told_is_true(
    link: RedisLink, clock: Clock, per_minute: int, burst: int, moves: list[int]
) -> None:
    """When the bucket refuses: after that time it lets one in, and not a moment earlier."""
    who = caller(per_minute, burst)
    for move in moves:
        await clock.move(move)
        await attempt(link, who, "", 0, 60)
    while not (refused := await attempt(link, who, "", 0, 60)).tier:
        pass
    if refused.frees_in_ms > 2:
        await clock.move(refused.frees_in_ms - 2)
        assert (await attempt(link, who, "", 0, 60)).tier == "rate"
        await clock.move(2)
    else:
        await clock.move(refused.frees_in_ms)
    assert (await attempt(link, who, "", 0, 60)).tier == ""
    assert (await attempt(link, who, "", 0, 60)).tier == "rate" or per_minute > 1000


@with_clock
@given(per_ip=st.integers(1, 5), moves=st.lists(st.integers(0, 30_000), max_size=10))
async def test_the_address_is_let_in_again_with_the_next_minute(
    link: RedisLink, clock: Clock, per_ip: int, moves: list[int]
) -> None:
    who, ip = caller(), f"test-{uuid4()}"
    for move in moves:
        await clock.move(move)
        await attempt(link, who, ip, per_ip, 60)
    while not (refused := await attempt(link, who, ip, per_ip, 60)).tier:
        pass
    await clock.move(refused.frees_in_ms - 1)
    assert (await attempt(link, who, ip, per_ip, 60)).tier == "ip"
    await clock.move(1)
    assert (await attempt(link, who, ip, per_ip, 60)).tier == ""


async def test_a_burst_of_zero_sets_no_limit_of_its_own(link: RedisLink, clock: Clock) -> None:
    who = caller(per_minute=60, burst=0)
    found = await attempt(link, who, "", 0, 60)
    if found.tier:
        await clock.move(found.frees_in_ms)
        found = await attempt(link, who, "", 0, 60)
    assert found.tier == ""


async def test_a_clock_set_back_takes_nothing_away(link: RedisLink, clock: Clock) -> None:
    who = caller(per_minute=60, burst=5)
    for _ in range(2):
        await attempt(link, who, "", 0, 60)
    await clock.move(-3_600_000)
    answers = [await attempt(link, who, "", 0, 60) for _ in range(4)]
    assert [answer.tier for answer in answers] == ["", "", "", "rate"]


async def test_places_expire_by_redis_clock(link: RedisLink, clock: Clock) -> None:
    who = caller(at_once=2)
    await attempt(link, who, "", 0, 10)
    await clock.move(5_000)
    await attempt(link, who, "", 0, 10)
    assert (await attempt(link, who, "", 0, 10)).tier == "concurrency"
    await clock.move(4_999)
    assert (await attempt(link, who, "", 0, 10)).frees_in_ms == 1
    await clock.move(1)
    assert (await attempt(link, who, "", 0, 10)).tier == ""
    assert (await attempt(link, who, "", 0, 10)).tier == "concurrency"
