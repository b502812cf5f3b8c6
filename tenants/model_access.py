"""Access of teams and keys to restricted models, on top of django-guardian's grants.

A model without a RestrictedModel row is open to everybody in the tenant. A grant goes to the group
of a team, or to the group that a key has of its own from its first grant on. Authentication reads
the grants in tenants/authentication/authenticator.py (`withheld`).
"""

from typing import Any, cast

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from guardian.shortcuts import assign_perm, get_groups_with_perms, remove_perm

from audit.actions import Action
from audit.trail.record import act
from tenants.models import ApiKey, Member, RestrictedModel, Team, Tenant
from tenants.models.model_changes import lock
from tenants.models.restricted_model import USE, RestrictedModelGroupObjectPermission

Holder = Team | ApiKey


def restrict(tenant: Tenant, model: str, *, by: str) -> RestrictedModel:
    """Restricts a model to teams and keys with a grant. Idempotent. Raises ValidationError."""
    model = model.strip()
    with transaction.atomic():
        lock(tenant)
        restricted = tenant.restricted_models.filter(name=model).first()
        if restricted is None:
            restricted = RestrictedModel(tenant=tenant, name=model)
            restricted.full_clean()
            restricted.save()
            _act(Action.MODEL_RESTRICT, restricted, by)
    return restricted


def open_to_all(tenant: Tenant, model: str, *, by: str) -> None:
    """Opens the model to everybody in the tenant and deletes its grants. Idempotent."""
    with transaction.atomic():
        if restricted := tenant.restricted_models.filter(name=model.strip()).first():
            _act(Action.MODEL_OPEN, restricted, by)
            restricted.delete()


def grant(restricted: RestrictedModel, holder: Holder, *, by: str) -> None:
    """Grants a team or key the model. Idempotent. Raises ValidationError for another tenant's."""
    _decide(Action.MODEL_GRANT, restricted, holder, by)


def withdraw(restricted: RestrictedModel, holder: Holder, *, by: str) -> None:
    """Withdraws a grant. Idempotent. Raises ValidationError for another tenant's team or key."""
    _decide(Action.MODEL_WITHDRAW, restricted, holder, by)


def _decide(action: Action, restricted: RestrictedModel, holder: Holder, by: str) -> None:
    if holder.tenant_id != restricted.tenant_id:
        raise ValidationError(_("There is no such team or key in this tenant."))
    grants = action == Action.MODEL_GRANT
    with transaction.atomic():
        lock(holder)
        if grants == (holder in holders(restricted)):
            return
        group = holder.own_group() if isinstance(holder, ApiKey) else holder.group
        (assign_perm if grants else remove_perm)(USE, group, restricted)
        _act(action, restricted, by, holder)


def holders(restricted: RestrictedModel) -> list[Holder]:
    """Returns teams with a grant, then keys, each by name."""
    groups = cast("QuerySet[Group]", get_groups_with_perms(restricted))
    teams = Team.objects.filter(tenant_id=restricted.tenant_id, group__in=groups)
    keys = ApiKey.objects.filter(tenant_id=restricted.tenant_id, group__in=groups)
    return [*teams.order_by("name"), *keys.order_by("name", "created_at")]


def withheld_from(member: Member) -> set[str]:
    """Returns the tenant's models that none of the member's teams has been granted."""
    teams = Team.objects.filter(memberships__member=member)
    grants = RestrictedModelGroupObjectPermission.objects.filter(group__team__in=teams)
    restricted = RestrictedModel.objects.filter(tenant_id=member.tenant_id)
    withheld = restricted.exclude(pk__in=grants.values("content_object"))
    return set(withheld.values_list("name", flat=True))


def withheld_from_key(key: ApiKey) -> set[str]:
    """Returns the tenant's models that neither the key nor its team has been granted."""
    groups = [key.group_id, key.team.group_id if key.team else None]
    grants = RestrictedModelGroupObjectPermission.objects.filter(group__in=filter(None, groups))
    restricted = RestrictedModel.objects.filter(tenant_id=key.tenant_id)
    withheld = restricted.exclude(pk__in=grants.values("content_object"))
    return set(withheld.values_list("name", flat=True))


def reaches_beyond(key: ApiKey, member: Member | None) -> bool:
    """Returns True if the key has a team or a model that the member has no access to."""
    if key.team_id and not (member and member.team_memberships.filter(team=key.team_id).exists()):
        return True
    grants = RestrictedModelGroupObjectPermission.objects.filter(group=key.group_id)
    granted = set(grants.values_list("content_object__name", flat=True)) if key.group_id else set()
    return bool(granted & withheld_from(member) if member else granted)


def _act(
    action: Action, restricted: RestrictedModel, by: str, holder: Holder | None = None
) -> None:
    detail: dict[str, Any] = {"model": restricted.name}
    if holder:
        kind = "team" if isinstance(holder, Team) else "key"
        detail |= {kind: str(holder.id), "name": holder.name}
    act(action, actor=by, tenant_id=restricted.tenant_id, detail=detail)
