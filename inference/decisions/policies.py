"""Acts of people on decision policies, after the checks of their texts."""

from typing import Any
from uuid import UUID

import msgspec
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.decisions import checks, current_version
from inference.decisions.spec import Calibration, PolicySpec, packed, unpacked
from inference.intake.access import allowed
from inference.models import DecisionPolicy, DecisionPolicyVersion
from inference.models.decisions.policy_version import Written
from tenants.models import Tenant


def create(tenant: Tenant, name: str, spec: PolicySpec, *, by: str) -> DecisionPolicy:
    """Create a policy with a first version, a draft. Raises ValidationError."""
    return DecisionPolicy.create(tenant, name, _written(tenant.pk, spec), by=by)


def write(policy: DecisionPolicy, spec: PolicySpec, *, by: str) -> DecisionPolicyVersion:
    """Add a version, a draft. Raises ValidationError."""
    return policy.write(_written(policy.tenant_id, spec), by=by)


def calibrate(
    version: DecisionPolicyVersion, calibration: Calibration | None, *, by: str
) -> DecisionPolicyVersion:
    """Add a version that differs in its calibration alone. Raises ValidationError."""
    spec = msgspec.structs.replace(spec_of(version), calibration=calibration)
    return write(version.policy, spec, by=by)


def promote(version: DecisionPolicyVersion, *, by: str) -> None:
    """Let a version decide, if its model still serves in the same version.

    Raises ValidationError.
    """
    _refuse_changed_model(version)
    version.policy.promote(version, by=by)


def challenge(version: DecisionPolicyVersion, share: float, *, by: str) -> None:
    """Let a version decide a share of the requests. Raises ValidationError."""
    _refuse_changed_model(version)
    version.policy.challenge(version, share, by=by)


def run_in_shadow(version: DecisionPolicyVersion, *, by: str) -> None:
    """Ask a version beside the one that decides. Raises ValidationError."""
    _refuse_changed_model(version)
    version.policy.run_in_shadow(version, by=by)


def spec_of(version: DecisionPolicyVersion) -> PolicySpec:
    """Returns what a version says. Raises Unreadable, MasterKeyUnavailable."""
    return unpacked(version.packed_spec)


def _written(tenant_id: UUID, spec: PolicySpec) -> Written:
    """Check a spec, and note the version of its model that serves now. Raises ValidationError."""
    _refuse_model(tenant_id, spec.model)
    now = current_version.current(tenant_id, spec.model)
    if spec.model_version not in ("", now):
        raise _other_version(spec.model, spec.model_version, now)
    spec = msgspec.structs.replace(spec, model_version=now)
    checks.check(spec)
    return Written(packed(spec), spec.model, spec.model_version)


def _refuse_model(tenant_id: UUID, model: str) -> None:
    """Refuse a model that the tenant does not have, or that gives no log-probabilities."""
    if not allowed.is_served(tenant_id, allowed.behind(tenant_id, model)):
        raise ValidationError({"model": _("There is no such model.")})
    can = [engine.capabilities for engine in current_version.engines(tenant_id, model)]
    if not all(each.text and each.logprobs for each in can):
        text = _("This model gives no log-probabilities, which a score is made of.")
        raise ValidationError({"model": text})


def _refuse_changed_model(version: DecisionPolicyVersion) -> None:
    spec = spec_of(version)
    _refuse_model(version.tenant_id, spec.model)
    if current_version.has_changed(version.tenant_id, spec):
        now = current_version.current(version.tenant_id, spec.model)
        raise _other_version(spec.model, spec.model_version, now)


def _other_version(model: str, written: str, now: str) -> ValidationError:
    text = _(
        "The version was made for %(written)s of %(model)s, and %(now)s serves now: write a "
        "version for it, with a calibration of its own."
    )
    names: dict[str, Any] = {"model": model, "written": written or "-", "now": now or "-"}
    return ValidationError({"model_version": text % names})
