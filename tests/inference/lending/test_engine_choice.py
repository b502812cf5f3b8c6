"""Which engines are lent to jobs, and which are taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.lending.engine_choice import Decision, Lender, decide

pytestmark = pytest.mark.unit
BUSY, FREE, LENT = Lender("busy"), Lender("free", is_free=True), Lender("lent", is_lent=True)


def pool(*kinds: Lender) -> list[Lender]:
    return [Lender(f"e{n}", kind.is_free, kind.is_lent) for n, kind in enumerate(kinds)]


def test_engines_beyond_those_that_serve_are_lent_from_the_last_on() -> None:
    engines = pool(BUSY, FREE, FREE, FREE)
    assert decide(engines, needed=1, needed_at_peak=2, jobs=1) == Decision(lend=("e3",))
    assert decide(engines, needed=1, needed_at_peak=2, jobs=9) == Decision(lend=("e3", "e2"))
    assert decide(engines, needed=1, needed_at_peak=2, jobs=0) == Decision()


def test_an_engine_that_still_runs_something_is_not_lent() -> None:
    assert decide(pool(BUSY, BUSY, FREE), 1, 1, jobs=2) == Decision(lend=("e2",))


def test_a_pool_whose_past_load_is_unknown_lends_nothing() -> None:
    assert decide(pool(BUSY, FREE), needed=1, needed_at_peak=None, jobs=1) == Decision()


def test_a_rush_takes_back_what_it_needs_and_no_more() -> None:
    engines = pool(BUSY, LENT, LENT, LENT)
    assert decide(engines, needed=3, needed_at_peak=None, jobs=0) == Decision(
        take_back=("e1", "e2")
    )
    assert decide(engines, needed=3, needed_at_peak=3, jobs=5) == Decision(take_back=("e1", "e2"))


@given(
    st.lists(st.sampled_from([BUSY, FREE, LENT]), max_size=12),
    st.integers(0, 13),
    st.none() | st.integers(0, 13),
    st.integers(-1, 13),
)
def test_nothing_that_is_needed_stays_lent_and_only_free_engines_are_lent(
    kinds: list[Lender], needed: int, needed_at_peak: int | None, jobs: int
) -> None:
    engines = pool(*kinds)
    decision = decide(engines, needed, needed_at_peak, jobs)
    by_name = {each.name: each for each in engines}
    assert all(by_name[name].is_free for name in decision.lend)
    assert len(decision.lend) <= max(0, jobs)
    assert {each.name for each in engines[:needed] if each.is_lent} == set(decision.take_back)
    assert not {each.name for each in engines[:needed]} & set(decision.lend)


def test_outside_of_the_pools_hours_all_are_taken_back_and_none_is_lent() -> None:
    lenders = [Lender("a"), Lender("b", is_free=True), Lender("c", is_lent=True)]
    assert decide(lenders, 1, 1, jobs=5, is_open=False) == Decision(take_back=("c",))
