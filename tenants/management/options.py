"""Options that several commands share: limits, quotas, a tenant, a time range."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.utils.dateparse import parse_date, parse_datetime

from tenants.models import ApiKey, Quota, Tenant
from tenants.models.quotas.quota import MOST, Unit, Window
from tenants.models.tier import LIMITS
from tenants.scope import system_scope


class QuotaOption(NamedTuple):
    unit: str
    window: str
    limit: int


def add_limit_options(parser: CommandParser) -> None:
    """Adds the options of limits, and `--quota requests/day=1000`, which is repeatable."""
    for name in LIMITS:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, metavar="N", help="0: no limit")
    parser.add_argument(
        "--quota",
        dest="quotas",
        action="append",
        default=[],
        type=parse_quota,
        metavar="UNIT/WINDOW=N",
        help="requests, tokens or cost (millionths of the currency) per day, month or session;"
        " repeatable",
    )


def parse_quota(text: str) -> QuotaOption:
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
    for quota in quotas:
        Quota.set(tenant, **quota._asdict(), by=by, api_key=api_key, platform=True)


def set_options(options: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Returns the options that were set. Others, and fields without an option, keep defaults."""
    return {name: options[name] for name in names if options.get(name) is not None}


def days(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 3650):
        raise ArgumentTypeError("must be a whole number from 1 to 3650")
    return int(text)


def tenant_named(name: str) -> Tenant:
    """Returns the tenant. Raises CommandError."""
    with system_scope():
        tenant = Tenant.objects.filter(name=name).first()
    if tenant is None:
        raise CommandError(f"there is no tenant named {name!r}")
    return tenant


def tenant_id(text: str | None) -> UUID | None:
    """Returns the id of a tenant's name or id, even of a deleted tenant. Raises ValueError."""
    if text is None:
        return None
    with system_scope():
        tenant = Tenant.objects.filter(name=text).first()
    if tenant:
        return tenant.id
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f"there is no tenant named {text!r}") from None


def moment(text: str | None) -> datetime | None:
    """Parses a day or a moment in ISO 8601, by default in UTC. Raises ValueError."""
    if not text:
        return None
    day = parse_date(text)
    parsed = datetime(day.year, day.month, day.day) if day else parse_datetime(text)
    if parsed is None:
        raise ValueError(f"{text!r} is no moment in ISO 8601")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
