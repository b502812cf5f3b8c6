"""What whoever asks may hand on to a key: never more than they have (tenants/key_powers.py)."""

from tenants.key_powers import key_permissions
from tenants.models import ApiKey, Scope
from tenants.models.tenant import LIMITS
from tenants.roles import Permission as P


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
