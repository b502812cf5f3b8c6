"""Kinds of data that have a retention of their own. Each app registers its kinds in `ready()`.

Events and their texts are AUDIT: they are dropped by whole months (periods.py). Every other class
has an eraser that deletes rows older than a moment.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple, Protocol
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from infrastructure.postgres.queries import rows

AUDIT, EXPORTS = "audit", "exports"
FLOOR_DAYS = 184  # six calendar months are up to 184 days (CSL art. 23)
MOST_DAYS = 36_500
Counts = dict[str, dict[str, int]]  # month -> kind -> rows: {"2026-01": {"events": 12}}


class Count(Protocol):
    def __call__(self, tenant_id: UUID, before: datetime) -> Counts:
        """Counts what is older than `before`."""


class Erase(Protocol):
    def __call__(self, tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
        """Deletes rows older than `before`, except of the subjects in `spare`. Returns how many.

        A class with a `step` deletes about so many rows in one call.
        """


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
    step: int = 0  # rows; 0: one call of `erase` deletes all


_known: dict[str, DataClass] = {}
_external: dict[str, ExternalDays] = {}
_tenants: list[Callable[[], list[UUID]]] = []


def register(data_class: DataClass) -> None:
    _known[data_class.name] = data_class


def register_external(name: str, days: ExternalDays) -> None:
    """Registers a class whose days are not in a RetentionRule."""
    _external[name] = days


def external(name: str) -> ExternalDays | None:
    return _external.get(name)


def register_tenants(tenant_ids: Callable[[], list[UUID]]) -> None:
    """Registers the list of tenants, which `audit` itself does not know."""
    _tenants[:] = [tenant_ids]


def tenants() -> list[UUID]:
    return [tenant_id for tenant_ids in _tenants for tenant_id in tenant_ids()]


def known() -> list[DataClass]:
    """Returns all classes: the audit trail first, the others by name."""
    return sorted(_known.values(), key=lambda known: (known.name != AUDIT, known.name))


def of(name: str) -> DataClass:
    """Returns the class. Raises KeyError."""
    return _known[name]


def by_month(kinds: dict[str, tuple[str, str]], tenant_id: UUID, before: datetime) -> Counts:
    """Counts rows older than `before`, by kind: a table with a `tenant_id`, and its time column."""
    counts: Counts = {}
    for kind, (table, column) in kinds.items():
        query = (
            f"select to_char({column} at time zone 'UTC', 'YYYY-MM') as month, count(*) "
            f"from {table} where tenant_id = %s and {column} < %s group by 1 order by 1"
        )
        for month, number in rows(query, [tenant_id, before]):
            counts.setdefault(month, {})[kind] = number
    return dict(sorted(counts.items()))


_TRAIL = {"events": ("audit_event", "at"), "texts": ("audit_payload", "at")}
register(
    DataClass(
        AUDIT,
        _("Audit trail: events and texts of requests"),
        default_days=200,
        floor_days=FLOOR_DAYS,
        count=partial(by_month, _TRAIL),
        note=_("Deleted by whole months, when the longest retention of any tenant has ended."),
    )
)
