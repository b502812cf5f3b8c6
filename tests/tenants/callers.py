"""Callers as the authenticator would give them."""

from typing import Any
from uuid import uuid4

from tenants.caller import NO_LIMITS, Caller, Limits


def caller(
    per_minute: int = 0,
    burst: int = 0,
    at_once: int = 0,
    tokens: int = 0,
    *,
    key: Limits = NO_LIMITS,
    **others: Any,
) -> Caller:
    """A key of a tenant of its own, without limits unless some are given."""
    key_id = uuid4()
    plain: dict[str, Any] = {
        "tenant_id": uuid4(),
        "tenant": "acme",
        "actor": f"key:{key_id}",
        "subject_id": uuid4(),
        "weight": 1,
        "limits": Limits(per_minute, burst, tokens, at_once),
        "key_limits": key,
        "api_key_id": key_id,
    }
    return Caller(**{**plain, **others})
