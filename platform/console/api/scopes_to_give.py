"""What whoever asks may hand on to a key: never more than they have (models/key_powers.py)."""

from tenants.key_scopes import key_permissions
from tenants.models import Scope
from tenants.roles import Permission as P


def scopes_to_give(held: frozenset[P], profile: str) -> frozenset[str]:
    """Nobody gives a key more than they may do themselves."""
    return frozenset(s.value for s in Scope if key_permissions([s], profile) <= held)
