"""Kinds of data that have a retention of their own. Who holds one registers it, in its `ready()`.

Events and their texts are AUDIT: months of them are dropped whole (periods.py). Every
other class brings an eraser that takes what is older than a moment.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.retention import ages
from audit.retention.ages import Counts

AUDIT, EXPORTS = "audit", "exports"
FLOOR_DAYS = 184  # six calendar months are up to 184 days (CSL art. 23)
MOST_DAYS = 36_500


class Count(Protocol):
    def __call__(self, tenant_id: UUID, before: datetime) -> Counts:
        """What is older than `before`."""


class Erase(Protocol):
    def __call__(self, tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
        """Takes what is older than `before` and not of the subjects in `spare`: how many rows."""


class KeptElsewhere(NamedTuple):
    """A class whose days are a field of something else: there is no rule beside it."""

    read: Callable[[Collection[UUID]], Mapping[UUID, int]]  # of tenants
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
    elsewhere: dict[str, KeptElsewhere] = field(default_factory=dict)
    tenants: Callable[[], list[UUID]] = list


_registry = _Registry()


def register(data_class: DataClass) -> None:
    _registry.classes[data_class.name] = data_class


def keep_elsewhere(name: str, place: KeptElsewhere) -> None:
    """Says where the days of a class stand, if not in a RetentionRule."""
    _registry.elsewhere[name] = place


def elsewhere(name: str) -> KeptElsewhere | None:
    return _registry.elsewhere.get(name)


def tenants_are(found: Callable[[], list[UUID]]) -> None:
    """Says who the tenants are: `audit` knows none."""
    _registry.tenants = found


def tenants() -> list[UUID]:
    return _registry.tenants()


def known() -> list[DataClass]:
    """The audit trail first, the others by name."""
    found = _registry.classes.values()
    return sorted(found, key=lambda one: (one.name != AUDIT, one.name))


def of(name: str) -> DataClass:
    """Raises KeyError."""
    return _registry.classes[name]


register(
    DataClass(
        AUDIT,
        _("Audit trail: events and texts of requests"),
        default_days=200,
        floor_days=FLOOR_DAYS,
        count=ages.of_trail,
        note=_("Deleted by whole months, when the longest retention of any tenant has ended."),
    )
)
