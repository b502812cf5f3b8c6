"""Kinds of data that have a retention of their own. Each app registers its kinds in `ready()`.

Events and their texts are AUDIT: they are dropped by whole months (periods.py). Every other class
has an eraser that deletes rows older than a moment.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.retention import row_counts
from audit.retention.row_counts import Counts

AUDIT, EXPORTS = "audit", "exports"
FLOOR_DAYS = 184  # six calendar months are up to 184 days (CSL art. 23)
MOST_DAYS = 36_500


class Count(Protocol):
    def __call__(self, tenant_id: UUID, before: datetime) -> Counts:
        """Counts what is older than `before`."""


class Erase(Protocol):
    def __call__(self, tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
        """Deletes rows older than `before`, except of the subjects in `spare`. Returns how many."""


class ExternalDays(NamedTuple):
    """Access to the days of a class that are a field of another model instead of a rule."""

    read: Callable[[Collection[UUID]], Mapping[UUID, int]]  # by tenant
    write: Callable[[UUID, int, str], None]  # tenant, days, by


@dataclass(frozen=True, slots=True)
class DataClass:
    name: str
    label: Promise
    default_days: int
    floor_days: int
    count: Count | None = None
    erase: Erase | None = None
    note: Promise | str = ""


@dataclass(slots=True)
class _Registry:
    classes: dict[str, DataClass] = field(default_factory=dict)
    external: dict[str, ExternalDays] = field(default_factory=dict)
    tenants: Callable[[], list[UUID]] = list


_registry = _Registry()


def register(data_class: DataClass) -> None:
    _registry.classes[data_class.name] = data_class


def register_external(name: str, days: ExternalDays) -> None:
    """Registers a class whose days are not in a RetentionRule."""
    _registry.external[name] = days


def external(name: str) -> ExternalDays | None:
    return _registry.external.get(name)


def register_tenants(tenant_ids: Callable[[], list[UUID]]) -> None:
    """Registers the list of tenants, which `audit` itself does not know."""
    _registry.tenants = tenant_ids


def tenants() -> list[UUID]:
    return _registry.tenants()


def known() -> list[DataClass]:
    """Returns all classes: the audit trail first, the others by name."""
    classes = _registry.classes.values()
    return sorted(classes, key=lambda data_class: (data_class.name != AUDIT, data_class.name))


def of(name: str) -> DataClass:
    """Returns the class. Raises KeyError."""
    return _registry.classes[name]


register(
    DataClass(
        AUDIT,
        _("Audit trail: events and texts of requests"),
        default_days=200,
        floor_days=FLOOR_DAYS,
        count=row_counts.of_trail,
        note=_("Deleted by whole months, when the longest retention of any tenant has ended."),
    )
)
