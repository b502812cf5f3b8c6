"""What one tenant may take of a llama.cpp that others share: places, and replacements."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from inference.models import AdapterPromotion, Engine, ModelVersion
from tenants.models import Tenant

MOST_AN_HOUR, HOUR = 6, timedelta(hours=1)  # replacements


def place_problem(engine: Engine, promotion: AdapterPromotion, needed: list[str]) -> str:
    """Returns why the tenant gets no place more; "" if it does. `needed` are adapters that serve.

    Half of the places are left to others.
    """
    share = max(1, settings.ADAPTERS_PER_ENGINE // 2)
    own = ModelVersion.objects.of(promotion.tenant_id).filter(pk__in=needed)
    if present := promotion.adapter.serving:
        own = own.exclude(pk=present.version_id)  # the new version takes its place
    if own.count() < share or not _is_shared(engine, promotion.tenant_id):
        return ""
    return f"a tenant has at most {share} adapters on an engine that others share"


def replacement_problem(engine: Engine, promotion: AdapterPromotion) -> str:
    """Returns why the engine is not replaced once more for the tenant; "" if it is.

    Each replacement takes the memory of a second server, and a while.
    """
    rows = AdapterPromotion.objects.filter(tenant=promotion.tenant_id, replacement__isnull=False)
    rows = rows.filter(adapter__base=promotion.adapter.base, created_at__gt=timezone.now() - HOUR)
    most = MOST_AN_HOUR
    if rows.exclude(pk=promotion.pk).count() < most or not _is_shared(engine, promotion.tenant_id):
        return ""
    return f"engines that others share are replaced {most} times an hour: try again then"


def _is_shared(engine: Engine, tenant: UUID) -> bool:
    """Returns whether other tenants may use an engine's model."""
    others = Tenant.objects.open().exclude(pk=tenant)
    return not engine.pool.model.only_for and others.exists()
