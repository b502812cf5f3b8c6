"""Tells the audit's retention the list of tenants, and where their days are stored."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from audit.retention import data_classes
from audit.retention.data_classes import AUDIT, DataClass, ExternalDays
from tenants.models import Notice, Refusal, Tenant
from tenants.personal_data import unused_people


def register() -> None:
    data_classes.register_tenants(_ids)
    data_classes.register_external(AUDIT, ExternalDays(_read, _write))
    data_classes.register(
        DataClass(
            "people",
            _("People whom nothing refers to any more"),
            default_days=200,
            floor_days=1,
            count=unused_people.count,
            erase=unused_people.erase,
            note=_("Deleted so long after the last event about them."),
        )
    )
    data_classes.register(
        DataClass(
            "notices",
            _("Notices that were delivered or given up"),
            default_days=30,
            floor_days=1,
            count=_count_notices,
            erase=_erase_notices,
        )
    )
    data_classes.register(
        DataClass(
            "refusals",
            _("Refusals of limits and quotas"),
            default_days=200,
            floor_days=1,
            count=_count_refusals,
            erase=_erase_refusals,
        )
    )


def _ids() -> list[UUID]:
    return list(Tenant.objects.order_by("name").values_list("pk", flat=True))


def _read(tenant_ids: Collection[UUID]) -> dict[UUID, int]:
    return dict(Tenant.objects.filter(pk__in=tenant_ids).values_list("pk", "retention_days"))


def _write(tenant_id: UUID, days: int, by: str) -> None:
    Tenant.objects.get(pk=tenant_id).change(by=by, retention_days=days)


def _count_notices(tenant_id: UUID, before: datetime) -> data_classes.Counts:
    return data_classes.by_month({"notices": ("tenants_notice", "created_at")}, tenant_id, before)


def _erase_notices(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Deletes notices that have ended. They have no texts, so no hold needs them."""
    rows, _of = Notice.objects.filter(tenant_id=tenant_id).ended_before(before).delete()
    return rows


def _count_refusals(tenant_id: UUID, before: datetime) -> data_classes.Counts:
    return data_classes.by_month({"refusals": ("tenants_refusal", "last_at")}, tenant_id, before)


def _erase_refusals(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Deletes refusals. They name callers, no subjects: a hold on one person keeps all of them."""
    if spare:
        return 0
    rows, _of = Refusal.objects.filter(tenant_id=tenant_id, last_at__lt=before).delete()
    return rows
