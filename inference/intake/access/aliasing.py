"""What people do with aliases, and the state of one. Each act is on record."""

from enum import StrEnum

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.intake.access.allowed import is_served
from inference.models import ModelAlias
from tenants.models import Tenant


class AliasState(StrEnum):
    SERVES = "serves"
    MODEL_MISSING = "model_missing"  # requests are a 404 that names the model
    NAME_SERVED = "name_served"  # a model or adapter has the name by now, and answers


def create(tenant: Tenant, name: str, model: str, *, by: str) -> ModelAlias:
    """Create an alias for a model that the tenant may use. Raises ValidationError."""
    if is_served(tenant.pk, name):
        raise ValidationError({"name": _("A model has this name.")})
    _refuse_missing(tenant, model)
    return ModelAlias.create(tenant, name, model, by=by)


def change(alias: ModelAlias, model: str, *, by: str) -> ModelAlias:
    """Let another model answer that the tenant may use. Raises ValidationError."""
    _refuse_missing(alias.tenant, model)
    return alias.change(model, by=by)


def state_of(alias: ModelAlias) -> AliasState:
    if is_served(alias.tenant_id, alias.name):
        return AliasState.NAME_SERVED
    served = is_served(alias.tenant_id, alias.model)
    return AliasState.SERVES if served else AliasState.MODEL_MISSING


def _refuse_missing(tenant: Tenant, model: str) -> None:
    """Refuse a model that is not served to the tenant, or is an alias. Raises ValidationError."""
    if not is_served(tenant.pk, model):
        raise ValidationError({"model": _("There is no such model.")})
