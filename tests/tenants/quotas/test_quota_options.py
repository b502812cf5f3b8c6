"""`--quota requests/day=1000`."""

from argparse import ArgumentTypeError

import pytest

from tenants.management.quota_options import QuotaOption, parse


@pytest.mark.unit
def test_quotas_as_options() -> None:
    assert parse("requests/day=1000") == QuotaOption("requests", "day", 1000)
    assert parse("tokens/month=2_000_000").limit == 2_000_000
    for wrong in ("requests=1", "requests/hour=1", "euros/day=1", "cost/day=-1", "cost/day=", "x"):
        with pytest.raises(ArgumentTypeError, match="requests/day=1000"):
            parse(wrong)
