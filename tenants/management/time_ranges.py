"""Options of commands on the trail: a tenant, and a time range."""

from datetime import UTC, datetime
from uuid import UUID

from django.utils.dateparse import parse_date, parse_datetime

from tenants.models import Tenant
from tenants.scope import system_scope


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
