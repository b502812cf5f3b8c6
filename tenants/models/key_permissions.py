"""The permissions of a key: those of its scopes, and no more than its grantors'.

Grantors are the people who made, widened or rotated a key: each chose its powers or saw its text.
They are stored as actors, so that their entries remain when a person leaves. People have the
permissions of their role (tenants/roles.py), operators those of operators.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from tenants.key_scopes import Scope, key_permissions
from tenants.models.member import Member
from tenants.models.tier import LIMITS
from tenants.models.user import User
from tenants.roles import Permission as P
from tenants.roles import operator_permissions, permissions
from tenants.scope import tenant_scope

if TYPE_CHECKING:
    from tenants.models.api_key import ApiKey


def permissions_of(key: ApiKey) -> frozenset[P]:
    """Returns the key's permissions, at most those of its weakest grantor today.

    Otherwise a key would outlive its grantors' roles, and combine duties that must be separate.
    """
    scoped = key_permissions(key.scopes, key.tenant.profile)
    return scoped & grantable(key) if scoped else scoped


def grantable(key: ApiKey) -> frozenset[P]:
    """Returns the permissions that all grantors of the key have in its tenant today.

    A person who left has none. A key without grantors is the platform's: it was made on the command
    line, and no person has widened or rotated it since.
    """
    if not key.grantors:
        return frozenset(P)
    by_actor = _permissions_by_actor(key)
    return frozenset.intersection(*(by_actor.get(actor, frozenset()) for actor in key.grantors))


def _permissions_by_actor(key: ApiKey) -> dict[str, frozenset[P]]:
    """Returns the permissions of those grantors who still exist."""
    profile = key.tenant.profile
    numbers: dict[str, list[str]] = {"member": [], "user": [], "operator": []}
    for actor in key.grantors:
        kind, _colon, number = actor.partition(":")
        numbers.get(kind, []).append(number)
    by_actor: dict[str, frozenset[P]] = {}
    with tenant_scope(key.tenant_id):
        members = Member.objects.filter(tenant=key.tenant_id, pk__in=numbers["member"])
        for member in members.filter(user__is_active=True).select_related("user"):
            by_actor[member.actor] = permissions(member.role, profile)
            if member.user.is_operator:
                by_actor[member.actor] |= operator_permissions(profile)
    operators = User.objects.filter(is_operator=True, is_active=True)
    for operator in operators.filter(pk__in=numbers["user"] + numbers["operator"]):
        by_actor[operator.actor] = operator_permissions(profile)
    return by_actor


def refuse_beyond_grantors(key: ApiKey, scopes: Collection[str]) -> None:
    """Raises ValidationError for a new scope that one of the grantors may not give."""
    added = [s for s in Scope if s in scopes and s not in key.scopes]
    profile, allowed = key.tenant.profile, grantable(key)
    lacking = [s.value for s in added if not key_permissions([s], profile) <= allowed]
    if lacking:
        text = _(
            "Somebody who created, extended or rotated this key may not grant this, or has "
            "left: %(scopes)s. Create a new key."
        )
        raise ValidationError({"scopes": ValidationError(text, params={"scopes": lacking})})


def wider(key: ApiKey, than: ApiKey) -> list[str]:
    """Returns the fields in which `key` may do more than the other one."""
    fields = [] if set(key.scopes) <= set(than.scopes) else ["scopes"]
    for name in ("allowed_models", "allowed_networks"):
        own, bound = set(getattr(key, name)), set(getattr(than, name))
        if bound and not (own and own <= bound):
            fields.append(name)
    if than.local_only and not key.local_only:
        fields.append("local_only")
    for name in LIMITS:
        bound_by = _effective(than, name)
        if bound_by and not 0 < _effective(key, name) <= bound_by:
            fields.append(name)
    if than.expires_at and not (key.expires_at and key.expires_at <= than.expires_at):
        fields.append("expires_at")
    if than.team_id and key.team_id != than.team_id:
        fields.append("team")
    return fields


def _effective(key: ApiKey, name: str) -> int:
    """Returns the effective value of one of LIMITS, 0 for none; `burst` defaults to the rate."""
    own: int = getattr(key, name) or 0
    return own or (key.requests_per_minute or 0 if name == "burst" else 0)
