"""Retention periods of each class of data, per tenant.

The minimum is defined in the classes, in forms and in the database (audit/sql/5_retention.sql).
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.models import LegalHold, RetentionRule
from audit.retention import data_classes, legal_hold
from audit.retention.data_classes import AUDIT, MOST_DAYS, Counts, DataClass
from audit.trail.record import act


@dataclass(frozen=True, slots=True)
class Rule:
    """The retention of a class of data for one tenant."""

    data_class: DataClass
    days: int
    changed_by: str = ""
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """Rows that `days` would delete tonight. Nothing has been changed."""

    data_class: DataClass
    days: int
    present: int
    before: datetime  # rows older than this are deleted
    months: Counts = field(default_factory=dict)
    hold: LegalHold | None = None  # prevents the deletion while it is in force

    @property
    def total(self) -> dict[str, int]:
        """Returns the sums by kind."""
        sums: Counter[str] = Counter()
        for kinds in self.months.values():
            sums.update(kinds)
        return dict(sums)


# Queries -----------------------------------------------------------------------------------------
def days_of(tenant_id: UUID, name: str) -> int:
    return rule(tenant_id, data_classes.of(name)).days


def rules(tenant_id: UUID) -> list[Rule]:
    return rules_of([tenant_id])[tenant_id]


def rules_of(tenant_ids: Collection[UUID]) -> dict[UUID, list[Rule]]:
    """Returns every class of data by tenant, however many tenants in the same number of queries."""
    known = data_classes.known()
    by_class = {data_class.name: _read(data_class, tenant_ids) for data_class in known}
    return {pk: [by_class[data_class.name][pk] for data_class in known] for pk in tenant_ids}


def rule(tenant_id: UUID, data_class: DataClass) -> Rule:
    return _read(data_class, [tenant_id])[tenant_id]


def _read(data_class: DataClass, tenant_ids: Collection[UUID]) -> dict[UUID, Rule]:
    if external := data_classes.external(data_class.name):
        known = {pk: _rule(data_class, days) for pk, days in external.read(tenant_ids).items()}
    else:
        rows = RetentionRule.objects.filter(tenant_id__in=tenant_ids, data_class=data_class.name)
        known = {
            row.tenant_id: _rule(data_class, row.days, row.changed_by, row.changed_at)
            for row in rows
        }
    default = _rule(data_class, data_class.default_days)
    return {pk: known.get(pk, default) for pk in tenant_ids}


def _rule(
    data_class: DataClass, days: int, changed_by: str = "", changed_at: datetime | None = None
) -> Rule:
    return Rule(data_class, max(days, data_class.floor_days), changed_by, changed_at)


# Changes -----------------------------------------------------------------------------------------
def preview(tenant_id: UUID, name: str, days: int) -> Preview:
    """Returns the effect of a change. Raises ValidationError, KeyError."""
    data_class = data_classes.of(name)
    refuse_days(data_class, days)
    return _preview(tenant_id, data_class, rule(tenant_id, data_class).days, days)


def change(tenant_id: UUID, name: str, days: int, *, by: str) -> Preview:
    """Changes the days from tonight on, and returns the effect.

    Raises ValidationError, KeyError.
    """
    data_class = data_classes.of(name)
    refuse_days(data_class, days)
    with transaction.atomic():
        locked = RetentionRule.objects.select_for_update()
        locked.filter(tenant_id=tenant_id, data_class=name).first()
        present = rule(tenant_id, data_class).days
        effect = _preview(tenant_id, data_class, present, days)
        if days == present:
            return effect
        if external := data_classes.external(name):
            external.write(tenant_id, days, by)  # which calls `record`
            return effect
        RetentionRule.objects.update_or_create(
            tenant_id=tenant_id, data_class=name, defaults={"days": days, "changed_by": by}
        )
        _act(tenant_id, effect, by)
    return effect


def record(tenant_id: UUID, name: str, before: int, after: int, *, by: str) -> None:
    """Records a change that was made in another model (data_classes.ExternalDays)."""
    _act(tenant_id, _preview(tenant_id, data_classes.of(name), before, after), by)


def refuse_days(data_class: DataClass, days: int) -> None:
    if days < data_class.floor_days:
        text = _("At least %d days.")
        if data_class.name == AUDIT:
            text = _("At least %d days: the law asks for six months of records.")
        raise ValidationError({"days": text % data_class.floor_days})
    if days > MOST_DAYS:
        raise ValidationError({"days": _("At most %d days.") % MOST_DAYS})


def _preview(tenant_id: UUID, data_class: DataClass, present: int, days: int) -> Preview:
    before = timezone.now() - timedelta(days=days)
    if days >= present or data_class.count is None:
        return Preview(data_class, days, present, before)
    months = data_class.count(tenant_id, before)
    return Preview(data_class, days, present, before, months, legal_hold.in_force(tenant_id))


def _act(tenant_id: UUID, effect: Preview, by: str) -> None:
    detail = {
        "data_class": effect.data_class.name,
        "days": [effect.present, effect.days],
        "would_go": effect.months,
    }
    act(Action.RETENTION_CHANGE, actor=by, tenant_id=tenant_id, detail=detail)
