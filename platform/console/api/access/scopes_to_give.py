"""The scopes that a caller may give to a key (models/key_powers.py)."""

from tenants.key_scopes import key_permissions
from tenants.models import Scope
from tenants.roles import Permission as P


def scopes_to_give(permissions: frozenset[P], profile: str) -> frozenset[str]:
    """Returns the scopes whose permissions are all among those of the giver."""
    return frozenset(s.value for s in Scope if key_permissions([s], profile) <= permissions)
