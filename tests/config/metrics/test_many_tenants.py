"""5,000 tenants with a label of their own leave the page small and quick to write."""

import time
from uuid import uuid4

import pytest

from config.metrics.listener import page
from infrastructure.metrics import FAMILIES, MOST, OTHER, Counter
from tests.config.metrics import table

pytestmark = pytest.mark.unit
TENANTS = 5_000
WITHIN_S, WITHIN_BYTES = 1.0, 3_000_000  # measured, of two busy cores: 0.07 s and 1.26 MB


def test_no_more_than_so_many_series_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    table.load_all()
    counted = [
        family
        for family in FAMILIES.values()
        if isinstance(family, Counter) and "tenant" in (label.name for label in family.labels)
    ]
    assert len(counted) >= 5
    tenants = [str(uuid4()) for _ in range(TENANTS)]
    monkeypatch.setattr("inference.metrics.labels.settings.METRICS_TENANTS", frozenset(tenants))
    for family in counted:
        monkeypatch.setattr(family, "_children", {})
    before = len(page()[1])  # series that earlier tests of this process have counted
    for family in counted:
        for tenant in tenants:
            values = [tenant if each.name == "tenant" else OTHER for each in family.labels]
            family.of(*values).value += 1
    began = time.process_time()
    _kind, written = page()
    took = time.process_time() - began
    print(f"{TENANTS} tenants: {len(written)} bytes in {took:.3f} s of CPU")
    assert took < WITHIN_S
    assert len(written) - before < WITHIN_BYTES
    for family in counted:
        assert len(family._children) <= MOST + 1
        others = (OTHER,) * len(family.labels)
        assert family._children[others].value == TENANTS - MOST
