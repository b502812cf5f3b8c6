"""Callers as the door would give them."""

from uuid import uuid4

from tenants.caller import Caller, Limits


def caller(per_minute: int = 0, burst: int = 0, at_once: int = 0) -> Caller:
    """A tenant of its own, without limits unless some are given."""
    key = uuid4()
    return Caller(
        tenant_id=uuid4(),
        tenant="acme",
        actor=f"key:{key}",
        subject_id=uuid4(),
        weight=1,
        limits=Limits(per_minute, burst, at_once),
        api_key_id=key,
    )
