"""Rows that the inbox shows."""

from typing import Any
from uuid import uuid4

from django.utils import timezone

from inference.models import ActionCall, CallState
from tenants.models import Tenant


def a_call(tenant: Tenant, state: CallState = CallState.UNKNOWN, **fields: Any) -> ActionCall:
    """A call of an action that was sent."""
    call = ActionCall(
        tenant=tenant,
        action_name="refund",
        revision=1,
        moves_money=True,
        created_by="test",
        **{"subject_id": uuid4(), "sent_at": timezone.now(), "state": state, **fields},
    )
    call.encrypt({"order": "A-1"})
    call.save(force_insert=True)
    return call
