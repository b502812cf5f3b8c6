"""deploy/prometheus/metrics.md has all metrics, and no other."""

import pytest

from infrastructure.metrics import FAMILIES
from tests.config.metrics import table

pytestmark = pytest.mark.unit


def test_the_table_has_each_metric_as_it_is() -> None:
    table.load_all()
    told, page = table.documented(), table.PAGE.read_text()
    ours = {name for name in FAMILIES if name.startswith(("forebay_", "DCGM_"))}
    assert told.keys() == ours
    for name, (_, _, whose, _) in told.items():
        assert table.row(name, whose) in page


def test_names_are_prometheus() -> None:
    table.load_all()
    for name, (kind, *_) in table.documented().items():
        assert (kind == "counter") == name.endswith("_total"), name
        assert not name.endswith(("_ms", "_kb", "_percent", "_count", "_sum", "_bucket"))
