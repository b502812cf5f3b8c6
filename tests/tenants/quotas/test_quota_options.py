"""`--quota requests/day=1000`."""

from argparse import ArgumentTypeError

import pytest

from tenants.management.options import QuotaOption, parse_quota


@pytest.mark.unit
def test_quotas_as_options() -> None:
    assert parse_quota("requests/day=1000") == QuotaOption("requests", "day", 1000)
    assert parse_quota("tokens/month=2_000_000").limit == 2_000_000
    for wrong in ("requests=1", "requests/hour=1", "euros/day=1", "cost/day=-1", "cost/day=", "x"):
        with pytest.raises(ArgumentTypeError, match="requests/day=1000"):
            parse_quota(wrong)
