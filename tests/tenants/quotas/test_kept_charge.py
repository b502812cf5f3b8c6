"""What a kept answer costs."""

import pytest

from tenants.quotas.charge import KeptCharge

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("cached", [1.0, 5.0, 50.0])
def test_never_more_than_was_set_aside(cached: float) -> None:
    """Also where cached tokens cost more than generated ones."""
    charge = KeptCharge(
        prompt_tokens=100,
        completion_tokens=40,
        prompt_price=3.0,
        cached_price=cached,
        completion_price=4.0,
    )
    assert charge.cost(100, 100, 40) <= charge.most
    assert charge.cost(10, 10, 10) == round(10 * cached + 10 * min(cached, 4.0))
