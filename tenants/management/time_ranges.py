"""What commands on the trail are told of: a tenant, and a time."""

from datetime import UTC, datetime
from uuid import UUID

from django.utils.dateparse import parse_date, parse_datetime

from tenants.models import Tenant
from tenants.scope import system_scope


def tenant_id(text: str | None) -> UUID | None:
    """By name or id; an id may also be of a tenant that is gone. Raises ValueError."""
    if text is None:
        return None
    with system_scope():
        found = Tenant.objects.filter(name=text).first()
    if found:
        return found.id
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f"there is no tenant named {text!r}") from None


def moment(text: str | None) -> datetime | None:
    """A day or a moment in ISO 8601, UTC where it does not say. Raises ValueError."""
    if not text:
        return None
    day = parse_date(text)
    found = datetime(day.year, day.month, day.day) if day else parse_datetime(text)
    if found is None:
        raise ValueError(f"{text!r} is no moment in ISO 8601")
    return found if found.tzinfo else found.replace(tzinfo=UTC)
