"""What tests/unordered.py does to the tests' own queries."""

import pytest

from tenants.models import Price


@pytest.mark.django_db
def test_rows_come_the_other_way_round_unless_somebody_orders_them() -> None:
    first, second = (Price.set("mock", price, 0, 0, by="test") for price in (1, 2))
    rows = Price.objects.filter(model="mock")
    assert list(rows) == list(rows) == [second, first]
    assert list(rows.order_by("id")) == [first, second]
