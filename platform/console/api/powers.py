"""What a key may do here, by its scopes, and what whoever asks may hand on to others.

People have the permissions of their role (tenants/roles.py), operators those of operators.
"""

from tenants.models import ApiKey, Scope
from tenants.models.tenant import LIMITS
from tenants.roles import DUTIES, DUTY_OF, Duty, Profile, Role
from tenants.roles import Permission as P

SCOPES: dict[Scope, frozenset[P]] = {
    Scope.INFERENCE: frozenset(),
    Scope.BATCH: frozenset(),
    Scope.MANAGEMENT_READ: frozenset(
        {
            P.VIEW_USAGE,
            P.VIEW_REQUESTS,
            P.VIEW_LIMITS,
            P.VIEW_KEYS,
            P.VIEW_MEMBERS,
            P.VIEW_TEAMS,
        }
    ),
    Scope.MANAGEMENT_WRITE: frozenset(
        {P.MANAGE_KEYS, P.MANAGE_TEAMS, P.MANAGE_QUOTAS, P.MANAGE_MEMBERS}
    ),
    Scope.AUDIT_READ: frozenset({P.VIEW_AUDIT, P.EXPORT_AUDIT}),
}
# Never a key's: CHAT is for people, APPROVE_RAISES wants a second person, MANAGE_SECURITY an owner;
# MANAGE_RETENTION and MANAGE_HOLDS decide what is kept: people do.

ROLES_OF_KEYS = (Role.DEVELOPER, Role.MEMBER)  # that a key may give, or take from somebody


def key_permissions(scopes: list[str], profile: str) -> frozenset[P]:
    """Where duties are kept apart, a key that writes does the system's, another one the audit's."""
    held = frozenset[P]().union(*(SCOPES[Scope(scope)] for scope in scopes))
    if profile != Profile.MLPS:
        return held
    duty = Duty.SYSTEM if Scope.MANAGEMENT_WRITE in scopes else Duty.AUDIT
    return frozenset(p for p in held if DUTIES.get(p) in (None, duty))


def permissions_of(key: ApiKey) -> frozenset[P]:
    """Where duties are kept apart, a key lends its maker no duty but their own of today: else who
    made keys before would unite two.
    """
    held = key_permissions(key.scopes, key.tenant.profile)
    maker = key.created_by
    if maker is None or key.tenant.profile != Profile.MLPS:
        return held
    return frozenset(p for p in held if DUTIES.get(p) in (None, DUTY_OF[Role(maker.role)]))


def scopes_to_give(held: frozenset[P], profile: str) -> frozenset[str]:
    """Nobody gives a key more than they may do themselves."""
    return frozenset(s.value for s in Scope if key_permissions([s], profile) <= held)


def wider(key: ApiKey, than: ApiKey) -> list[str]:
    """The fields in which `key` may do more than the key that asks for it."""
    found = [] if set(key.scopes) <= set(than.scopes) else ["scopes"]
    for name in ("allowed_models", "allowed_networks"):
        own, bound = set(getattr(key, name)), set(getattr(than, name))
        if bound and not (own and own <= bound):
            found.append(name)
    for name in LIMITS:
        bound_by = getattr(than, name)
        if bound_by and not 0 < (getattr(key, name) or 0) <= bound_by:
            found.append(name)
    if than.expires_at and not (key.expires_at and key.expires_at <= than.expires_at):
        found.append("expires_at")
    if than.team_id and key.team_id != than.team_id:
        found.append("team")
    return found
