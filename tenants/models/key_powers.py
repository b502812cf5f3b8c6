"""What a key may do in its tenant: by its scopes, and no more than its grantors may.

Grantors are the people who made, widened or rotated a key: each of them chose what it may do, or
has seen its text. They are kept as actors, so that nothing of a person who leaves falls away.

People have the permissions of their role (tenants/roles.py), operators those of operators.
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
    """A key may no more than the weakest of its grantors may today, whatever its scopes say: else
    it would outlive their roles, and where duties are kept apart unite two.
    """
    held = key_permissions(key.scopes, key.tenant.profile)
    return held & grantable(key) if held else held


def grantable(key: ApiKey) -> frozenset[P]:
    """What everybody who made, widened or rotated the key may do in its tenant today.

    Whoever has left may nothing. A key without grantors is the platform's: made on the command
    line, and not widened or rotated by a person since.
    """
    if not key.grantors:
        return frozenset(P)
    theirs = _permissions_by_actor(key)
    return frozenset.intersection(*(theirs.get(actor, frozenset()) for actor in key.grantors))


def _permissions_by_actor(key: ApiKey) -> dict[str, frozenset[P]]:
    """Of the key's grantors that are still there."""
    profile = key.tenant.profile
    numbers: dict[str, list[str]] = {"member": [], "user": [], "operator": []}
    for actor in key.grantors:
        kind, _colon, number = actor.partition(":")
        numbers.get(kind, []).append(number)
    found: dict[str, frozenset[P]] = {}
    with tenant_scope(key.tenant_id):
        members = Member.objects.filter(tenant=key.tenant_id, pk__in=numbers["member"])
        for member in members.filter(user__is_active=True).select_related("user"):
            found[member.actor] = permissions(member.role, profile)
            if member.user.is_operator:
                found[member.actor] |= operator_permissions(profile)
    operators = User.objects.filter(is_operator=True, is_active=True)
    for operator in operators.filter(pk__in=numbers["user"] + numbers["operator"]):
        found[operator.actor] = operator_permissions(profile)
    return found


def refuse_beyond_grantors(key: ApiKey, scopes: Collection[str]) -> None:
    """Raises ValidationError: a new scope that one of the grantors may not give does nothing."""
    added = [s for s in Scope if s in scopes and s not in key.scopes]
    profile, held = key.tenant.profile, grantable(key)
    lacking = [s.value for s in added if not key_permissions([s], profile) <= held]
    if lacking:
        text = _(
            "Somebody who created, extended or rotated this key may not grant this, or has "
            "left: %(scopes)s. Create a new key."
        )
        raise ValidationError({"scopes": ValidationError(text, params={"scopes": lacking})})


def wider(key: ApiKey, than: ApiKey) -> list[str]:
    """The fields in which `key` may do more than the other one."""
    found = [] if set(key.scopes) <= set(than.scopes) else ["scopes"]
    for name in ("allowed_models", "allowed_networks"):
        own, bound = set(getattr(key, name)), set(getattr(than, name))
        if bound and not (own and own <= bound):
            found.append(name)
    if than.local_only and not key.local_only:
        found.append("local_only")
    for name in LIMITS:
        bound_by = _holds(than, name)
        if bound_by and not 0 < _holds(key, name) <= bound_by:
            found.append(name)
    if than.expires_at and not (key.expires_at and key.expires_at <= than.expires_at):
        found.append("expires_at")
    if than.team_id and key.team_id != than.team_id:
        found.append("team")
    return found


def _holds(key: ApiKey, name: str) -> int:
    """One of LIMITS as it holds, 0 for none: a key without a burst has its rate's."""
    own: int = getattr(key, name) or 0
    return own or (key.requests_per_minute or 0 if name == "burst" else 0)
