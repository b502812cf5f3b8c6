"""Quotas as a repeatable option of a command: `--quota requests/day=1000`."""

from argparse import ArgumentTypeError
from typing import NamedTuple

from django.core.management.base import CommandParser

from tenants.models import ApiKey, Quota, Tenant
from tenants.models.quota import MOST, Unit, Window


class QuotaOption(NamedTuple):
    unit: str
    window: str
    limit: int


def add_quota_option(parser: CommandParser) -> None:
    parser.add_argument(
        "--quota",
        dest="quotas",
        action="append",
        default=[],
        type=parse,
        metavar="UNIT/WINDOW=N",
        help="requests, tokens or cost (millionths of the currency) per day or month; repeatable",
    )


def parse(text: str) -> QuotaOption:
    """Parses an option such as `tokens/month=2000000`. Raises ArgumentTypeError."""
    name, _, number = text.partition("=")
    unit, _, window = name.partition("/")
    limit = number.replace("_", "")
    known = unit in Unit.values and window in Window.values
    if not (known and limit.isdecimal() and int(limit) <= MOST):
        raise ArgumentTypeError(f"{text!r} is not like requests/day=1000 or tokens/month=2000000")
    return QuotaOption(unit, window, int(limit))


def set_quotas(
    quotas: list[QuotaOption], tenant: Tenant, *, by: str, api_key: ApiKey | None = None
) -> None:
    """Sets quotas as the platform's, which the tenant cannot change. Raises ValidationError."""
    for unit, window, limit in quotas:
        Quota.set(
            tenant, unit=unit, window=window, limit=limit, by=by, api_key=api_key, platform=True
        )
