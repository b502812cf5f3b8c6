"""What a key may do in its tenant: by its scopes, and no longer than who made it may.

People have the permissions of their role (tenants/roles.py), operators those of operators.
"""

from tenants.models.api_key import ApiKey, Scope
from tenants.roles import DUTIES, Duty, Profile, Role, operator_permissions, permissions
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

ROLES_OF_KEYS = (Role.DEVELOPER, Role.MEMBER)  # that a key may give, or take; no reader of prompts


def key_permissions(scopes: list[str], profile: str) -> frozenset[P]:
    """Where duties are kept apart, a key that writes does the system's, another one the audit's."""
    held = frozenset[P]().union(*(SCOPES[Scope(scope)] for scope in scopes))
    if profile != Profile.MLPS:
        return held
    duty = Duty.SYSTEM if Scope.MANAGEMENT_WRITE in scopes else Duty.AUDIT
    return frozenset(p for p in held if DUTIES.get(p) in (None, duty))


def permissions_of(key: ApiKey) -> frozenset[P]:
    """A key lends its maker nothing that they may not do themselves today: else it would outlive
    their role, and where duties are kept apart unite two. (Who leaves takes their keys along:
    Member.remove. A key without a maker is an operator's, or the command line's.)
    """
    profile, maker = key.tenant.profile, key.created_by
    held = key_permissions(key.scopes, profile)
    if maker is None:
        return held
    theirs = permissions(maker.role, profile)
    if maker.user.is_operator:
        theirs |= operator_permissions(profile)
    return held & theirs


def may_give(key: ApiKey, role: Role) -> bool:
    return role in ROLES_OF_KEYS and P.MANAGE_MEMBERS in permissions_of(key)
