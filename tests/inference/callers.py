"""Callers and classes of work as routes see them."""

from typing import Any

from tenants.caller import NO_LIMITS, Caller, Limits
from tenants.models import ApiKey
from tests.inference.orders import an_order

REALTIME = "realtime"


def a_caller(**changes: Any) -> Caller:
    plain: dict[str, Any] = {
        "tenant_id": an_order().tenant_id,
        "tenant": "acme",
        "actor": "key",
        "subject_id": an_order().subject_id,
        "weight": 1,
        "limits": Limits(),
        "credential": b"",
    }
    return Caller(**{**plain, **changes})


def speaking(key: ApiKey) -> Caller:
    return Caller(
        tenant_id=key.tenant_id,
        tenant="acme",
        actor=key.actor,
        subject_id=key.subject_id,
        weight=1,
        limits=NO_LIMITS,
        credential=bytes(key.digest),
        api_key_id=key.id,
        scopes=frozenset({"inference"}),
    )


CALLER = a_caller(actor="key:1", credential=b"1", scopes=frozenset({"inference"}))
