"""Neither engines nor clocks swing: what goes down stays down until the load itself goes up."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.energy.clock_choice import ClockChoice, Level
from inference.energy.consolidation import Member, Rules, loaded, plan
from inference.energy.peaks import Peaks
from inference.energy.pool_history import PoolHistory

pytestmark = pytest.mark.unit
SLOTS, ENGINES, EVERY_S = 16, 4, 6.0
RULES = Rules(full=0.75, hold_s=60.0)
CLOCK_HOLD_S = 10.0
LEVELS = [Level(4, 1005), Level(8, 1200), Level(16, 1500), Level(64, 0)]
# A day in pieces: how many seconds at about which load, and how far readings are off it.
PIECES = st.tuples(st.integers(10, 200), st.integers(0, ENGINES * SLOTS), st.integers(0, SLOTS))
DAYS = st.lists(PIECES, min_size=1, max_size=4)


class Pool:
    """A pool whose load a test plays; `acts` are its changes: seconds, engines awake."""

    def __init__(self, awake: int = ENGINES) -> None:
        self.members = [Member(f"gpu-{n}", SLOTS, rests=n >= awake) for n in range(ENGINES)]
        self.peaks = Peaks(RULES.hold_s)
        self.now = 0.0
        self.acts: list[tuple[float, int]] = []

    @property
    def awake(self) -> int:
        return sum(not member.rests for member in self.members)

    def see(self, demand: int) -> None:
        self.now += EVERY_S
        self.peaks.add(self.now, demand)
        decision = plan(RULES, self.members, demand, self.peaks.peak)
        changed = {*decision.wake, decision.rest}
        self.members = [
            replace(member, rests=not member.rests) if member.name in changed else member
            for member in self.members
        ]
        if decision.wake:
            self.peaks.restart(self.now)
        if decision != ((), ""):
            self.acts.append((self.now, self.awake))


def readings(day: list[tuple[int, int, int]]) -> list[int]:
    return [
        max(0, load + (off if n % 2 else -off))
        for seconds, load, off in day
        for n in range(int(seconds / EVERY_S))
    ]


@settings(max_examples=25)
@given(DAYS)
def test_an_engine_rests_only_after_the_load_was_low_for_the_whole_time(
    day: list[tuple[int, int, int]],
) -> None:
    pool, loads = Pool(), readings(day)
    for load in loads:
        pool.see(load)
    counts = [(0.0, ENGINES), *pool.acts]
    for (_before_at, before), (at, after) in pairwise(counts):
        if after < before:
            seen = loads[max(0, int((at - RULES.hold_s) / EVERY_S)) : int(at / EVERY_S)]
            assert max(seen) <= RULES.calm * SLOTS * after
            assert all(
                at - woken_at >= RULES.hold_s
                for (_, fewer), (woken_at, more) in pairwise(counts)
                if woken_at < at and more > fewer
            ), "one was woken a moment ago"


@settings(max_examples=25)
@given(DAYS)
def test_an_engine_is_woken_before_the_others_are_full(day: list[tuple[int, int, int]]) -> None:
    pool = Pool()
    for load in readings(day):
        pool.see(load)
        assert load <= RULES.full * SLOTS * pool.awake or pool.awake == ENGINES


@settings(max_examples=25)
@given(st.integers(0, ENGINES * SLOTS), st.integers(0, 64), st.integers(1, 4))
def test_load_that_swings_within_the_time_moves_no_engine_forth_and_back(
    load: int, off: int, half_period: int
) -> None:
    """However far it swings: each engine moves once at most."""
    pool = Pool()
    for n in range(120):
        swing = off if n // half_period % 2 else -off
        pool.see(min(ENGINES * SLOTS, max(0, load + swing)))
    directions = [
        after - before for (_, before), (_, after) in pairwise([(0.0, ENGINES), *pool.acts])
    ]
    assert all(direction < 0 for direction in directions), pool.acts


def test_engines_rest_one_by_one_at_night_and_wake_at_once_in_the_morning() -> None:
    pool = Pool()
    for _ in range(30):
        pool.see(3)
    assert pool.awake == 1
    pool.see(40)
    assert pool.awake == 4, "40 of 64 slots are over three quarters of 48"


def test_one_that_does_not_answer_is_not_counted_on() -> None:
    pool = Pool(awake=1)
    pool.members[0] = replace(pool.members[0], works=False)
    pool.see(1)

    assert [member.name for member in pool.members if not member.rests] == ["gpu-0", "gpu-1"]


def test_no_engine_rests_before_the_load_was_seen_for_long_enough() -> None:
    pool = Pool()
    for _ in range(int(RULES.hold_s / EVERY_S)):
        pool.see(0)
    assert pool.awake == ENGINES
    pool.see(0)
    assert pool.awake == ENGINES - 1


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_is_set_and_a_pause_begin_the_time_anew(jump_s: float) -> None:
    pool = Pool()
    for _ in range(8):
        pool.see(0)
    pool.now += jump_s
    for _ in range(9):
        pool.see(0)
    assert pool.awake == ENGINES


@settings(max_examples=25)
@given(st.lists(st.integers(0, 70), min_size=1, max_size=60))
def test_a_clock_goes_up_at_once_and_down_only_after_a_minute_of_low_load(
    loads: list[int],
) -> None:
    choice, chosen = ClockChoice(LEVELS, CLOCK_HOLD_S), []
    for second, running in enumerate(loads):
        chosen.append(choice.choose(float(second), running))
        level = next((each for each in LEVELS if each.requests >= running), LEVELS[-1])
        assert chosen[-1] == 0 or chosen[-1] >= level.mhz > 0
        if second < CLOCK_HOLD_S:
            assert chosen[-1] == 0, "the driver's own clock while the load is unknown"


@settings(max_examples=25)
@given(st.integers(1, 64), st.integers(0, 3), st.integers(1, 4))
def test_a_clock_does_not_swing_with_load_that_swings_within_a_minute(
    load: int, off: int, half_period: int
) -> None:
    choice = ClockChoice(LEVELS, CLOCK_HOLD_S)
    chosen = [
        choice.choose(float(second), load + (off if second // half_period % 2 else 0))
        for second in range(90)
    ]
    changes = [pair for pair in pairwise(chosen) if pair[0] != pair[1]]
    assert len(changes) <= 1


def test_requests_that_wait_give_the_clock_back_to_the_driver() -> None:
    choice = ClockChoice(LEVELS, CLOCK_HOLD_S)
    for second in range(20):
        choice.choose(float(second), 2)
    assert choice.choose(20.0, 2) == 1005
    assert choice.choose(21.0, 2, waiting=1) == 0


def test_a_history_survives_its_store_and_wrong_bytes_begin_anew() -> None:
    history = PoolHistory(Peaks(60.0))
    for second in range(0, 70, 2):
        history.see(float(second), 5 if second == 30 else 1, ["gpu-3"])
    again = PoolHistory.parse(history.packed(), 60.0)
    assert (again.peaks.peak, again.rested_s("gpu-3", 70.0)) == (5, 70.0)
    for encoded in (None, b"", b"\xff\x00", history.packed()[:-3], b"\x92\x01\x02"):
        assert PoolHistory.parse(encoded, 60.0).peaks.peak is None
    assert PoolHistory.parse(history.packed(), 90.0).peaks.peak is None, "another hold time"


def test_whoever_wakes_an_engine_begins_the_hold_time_anew() -> None:
    history = PoolHistory(Peaks(60.0))
    for second in range(0, 70, 2):
        history.see(float(second), 1, ["gpu-2", "gpu-3"])
    assert history.peaks.peak == 1
    history.see(70.0, 1, ["gpu-2"])
    assert history.peaks.peak is None
    assert history.rested_s("gpu-3", 70.0) == 0


def test_broken_engines_need_others_with_a_loaded_server() -> None:
    pool = [Member(f"gpu-{n}", SLOTS, rests=n > 0, works=n < 2) for n in range(ENGINES)]
    assert loaded(RULES, pool, load=1) == 2, "the first one, and a spare"
    pool[0] = replace(pool[0], works=False, is_broken=True)
    assert loaded(RULES, pool, load=1) == 3
    pool[1] = replace(pool[1], works=False, is_broken=True)
    assert loaded(RULES, pool, load=1) == 4
    assert loaded(RULES, pool, load=100) == ENGINES
