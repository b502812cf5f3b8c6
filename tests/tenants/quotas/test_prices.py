"""What tokens cost: under a class's factor, in a pool with a price of its own, and kept."""

import msgspec
import pytest

from tenants.quotas.charge import Charge, KeptCharge, Prices

pytestmark = pytest.mark.unit
HERE, THERE = Prices(10, 2, 40), Prices(100, 20, 400)
TOKENS = 8, 4, 3  # of the prompt, of these kept by the engine, of the answer


def charge(of: Prices, **elsewhere: Prices) -> Charge:
    return Charge(
        prompt_price=of.prompt,
        cached_price=of.cached,
        completion_price=of.completion,
        elsewhere=elsewhere,
    )


def test_a_factor_is_of_all_prices() -> None:
    assert HERE.times(0.5) == Prices(5, 1, 20)
    assert HERE.times(0.5).cost(*TOKENS) == HERE.cost(*TOKENS) / 2
    assert HERE.times(1) == HERE


@pytest.mark.parametrize(("pool", "prices"), [("there", THERE), ("here", HERE), ("", HERE)])
def test_where_it_was_served_decides(pool: str, prices: Prices) -> None:
    made = charge(HERE, there=THERE)
    assert made.cost(*TOKENS, pool) == prices.cost(*TOKENS)
    kept = KeptCharge(*msgspec.structs.astuple(made))
    assert kept.cost(*TOKENS, pool) == (8 + 3) * prices.cached


def test_a_kept_token_costs_no_more_than_a_made_one() -> None:
    kept = KeptCharge(*msgspec.structs.astuple(charge(Prices(10, 9, 4))))
    assert kept.cost(8, 8, 3) == 8 * 9 + 3 * 4
