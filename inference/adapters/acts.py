"""What people do with adapters. Each act is on record."""

import logging

from celery import current_app
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from audit.actions import Action
from inference.adapters.targets import serving
from inference.engines import is_open_to, served
from inference.model_registry import gates
from inference.models import Adapter, AdapterPromotion, Engine, ModelVersion
from inference.models.recorded_refusal import RecordedRefusal
from tenants.models import Tenant

log = logging.getLogger(__name__)


class AdapterRefused(RecordedRefusal):
    """A gate of the base's pools does not let the version serve."""

    def __init__(self, adapter: Adapter, reasons: list[str], by: str) -> None:
        super().__init__({"version": reasons})
        self._adapter, self._reasons, self._by = adapter, reasons, by

    def record(self) -> None:
        self._adapter.record(Action.ADAPTER_REFUSE, self._by, reasons=self._reasons)


def create(tenant: Tenant, base: str, name: str, *, by: str) -> Adapter:
    """Create a tenant's adapter on a served model. Raises ValidationError."""
    if base not in served() or not is_open_to(tenant.pk, base):
        raise ValidationError({"base": _("There is no such model.")})
    if f"{base}:{name}" in served():
        raise ValidationError({"name": _("A model has this name.")})
    return Adapter.create(tenant, base, name, by=by)


def promote(adapter: Adapter, version: ModelVersion, *, by: str) -> AdapterPromotion:
    """Have engines load a version and serve it. Raises AdapterRefused, ValidationError."""
    _refuse_closed(adapter)
    for engine in _first_of_each_pool(adapter.base):
        try:
            gates.check(version, engine, by=by)
        except gates.GateRefused as refused:
            raise AdapterRefused(adapter, refused.reasons, by) from None
    with transaction.atomic():
        promotion = adapter.promote(version, by=by)
        transaction.on_commit(_wake)
    return promotion


def _refuse_closed(adapter: Adapter) -> None:
    """Refuse a base that has become another tenant's. Raises ValidationError."""
    if not is_open_to(adapter.tenant_id, adapter.base):
        raise ValidationError(_("There is no such model."))


def _first_of_each_pool(base: str) -> list[Engine]:
    """Returns an engine of each pool: gates belong to pools."""
    return list({engine.pool_id: engine for engine in serving(base)}.values())


def roll_back(adapter: Adapter, *, by: str) -> AdapterPromotion:
    """Have the version before serve again, which needs no evaluation. Raises ValidationError."""
    _refuse_closed(adapter)
    with transaction.atomic():
        promotion = adapter.roll_back(by=by)
        transaction.on_commit(_wake)
    return promotion


def _wake() -> None:
    try:
        current_app.send_task("inference.load_adapters", ignore_result=True)
    except Exception:  # the broker is away: beat sends the task within seconds
        log.warning("cannot start the loading now; beat retries it", exc_info=True)
