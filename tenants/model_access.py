"""Which team or key may use a restricted model: the one way to django-guardian's grants.

A model without a RestrictedModel row is open to everybody in the tenant. A grant goes to the group
of a team, or to the group that a key has of its own from its first grant on. What authentication
makes of it stands in tenants/authentication/authenticator.py (`withheld`).
"""

from typing import Any, cast

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from guardian.shortcuts import (
    assign_perm,
    get_groups_with_perms,
    remove_perm,
)

from audit.actions import Action
from audit.trail.record import act
from tenants.models.api_key import ApiKey
from tenants.models.changing import locked
from tenants.models.member import Member
from tenants.models.restricted_model import (
    USE,
    RestrictedModel,
    RestrictedModelGroupObjectPermission,
)
from tenants.models.team import Team
from tenants.models.tenant import Tenant

Holder = Team | ApiKey


def restrict(tenant: Tenant, model: str, *, by: str) -> RestrictedModel:
    """From now on only those use it who are granted it. Idempotent. Raises ValidationError."""
    model = model.strip()
    with transaction.atomic():
        locked(tenant)
        found = tenant.restricted_models.filter(name=model).first()
        if found is None:
            found = RestrictedModel(tenant=tenant, name=model)
            found.full_clean()
            found.save()
            _act(Action.MODEL_RESTRICT, found, by)
    return found


def open_to_all(tenant: Tenant, model: str, *, by: str) -> None:
    """Everybody in the tenant may use it; its grants are gone. Idempotent."""
    with transaction.atomic():
        if found := tenant.restricted_models.filter(name=model.strip()).first():
            _act(Action.MODEL_OPEN, found, by)
            found.delete()


def grant(restricted: RestrictedModel, holder: Holder, *, by: str) -> None:
    """Idempotent. Raises ValidationError for another tenant's team or key."""
    _refuse_strangers(restricted, holder)
    with transaction.atomic():
        locked(holder)
        if holder in holders(restricted):
            return
        assign_perm(USE, _group(holder), restricted)
        _act(Action.MODEL_GRANT, restricted, by, holder)


def withdraw(restricted: RestrictedModel, holder: Holder, *, by: str) -> None:
    """Idempotent. Raises ValidationError for another tenant's team or key."""
    _refuse_strangers(restricted, holder)
    with transaction.atomic():
        locked(holder)
        if holder not in holders(restricted):
            return
        remove_perm(USE, _group(holder), restricted)
        _act(Action.MODEL_WITHDRAW, restricted, by, holder)


def holders(restricted: RestrictedModel) -> list[Holder]:
    """Teams first, each kind by name."""
    groups = cast("QuerySet[Group]", get_groups_with_perms(restricted))
    teams = Team.objects.filter(tenant_id=restricted.tenant_id, group__in=groups)
    keys = ApiKey.objects.filter(tenant_id=restricted.tenant_id, group__in=groups)
    return [*teams.order_by("name"), *keys.order_by("name", "created_at")]


def withheld_from(member: Member) -> set[str]:
    """Models of the tenant that nobody has granted to a team of theirs."""
    theirs = Team.objects.filter(memberships__member=member)
    grants = RestrictedModelGroupObjectPermission.objects.filter(group__team__in=theirs)
    restricted = RestrictedModel.objects.filter(tenant_id=member.tenant_id)
    withheld = restricted.exclude(pk__in=grants.values("content_object"))
    return set(withheld.values_list("name", flat=True))


def reaches_beyond(key: ApiKey, member: Member | None) -> bool:
    """Whether the key has a team without the member, or a model that is withheld from them."""
    if key.team_id and not (member and member.team_memberships.filter(team=key.team_id).exists()):
        return True
    grants = RestrictedModelGroupObjectPermission.objects.filter(group=key.group_id)
    granted = set(grants.values_list("content_object__name", flat=True)) if key.group_id else set()
    return bool(granted & withheld_from(member) if member else granted)


def _group(holder: Holder) -> Group:
    return holder.own_group() if isinstance(holder, ApiKey) else holder.group


def _refuse_strangers(restricted: RestrictedModel, holder: Holder) -> None:
    if holder.tenant_id != restricted.tenant_id:
        raise ValidationError(_("There is no such team or key in this tenant."))


def _act(
    action: Action, restricted: RestrictedModel, by: str, holder: Holder | None = None
) -> None:
    detail: dict[str, Any] = {"model": restricted.name}
    if holder:
        kind = "team" if isinstance(holder, Team) else "key"
        detail |= {kind: str(holder.id), "name": holder.name}
    act(action, actor=by, tenant_id=restricted.tenant_id, detail=detail)
