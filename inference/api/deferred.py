"""Requests that a row asks for later, on behalf of the key or the member that made it.

Documents, evaluations, trials and explanations are such rows. A refusal ends the row's work, or has
it wait.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from channels.db import database_sync_to_async

from inference.api.refusals import as_error
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted
from tenants.authentication.authenticator import (
    AuthenticationUnavailable,
    TenantClosed,
    UnknownCaller,
)
from tenants.caller import Caller
from tenants.models import ApiKey, Member
from tenants.scope import read_in_tenant_scope

LEAST_WAIT_S = 5.0
ADDRESS_COUNTED = 1  # the address was counted when the row was made


class Wait(Exception):
    """The work cannot go on for `seconds`. `code` says why, `is_limit`: a limit has no room."""

    def __init__(
        self, seconds: float, code: str = "engine_unavailable", *, is_limit: bool = False
    ) -> None:
        super().__init__(seconds, code)
        self.seconds, self.code, self.is_limit = seconds, code, is_limit


class Refused(Exception):
    """The work can never go on. `code` and `detail` are for programs."""

    def __init__(self, code: str, **detail: Any) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


async def caller_of(context: Context, who: ApiKey | Member | None) -> Caller:
    """Returns the caller that a key or a member is now, by the successor of a rotated key that has
    ended. Raises Wait, Refused.
    """
    try:
        return await _caller(context, who)
    except Refused:
        fresh = await _successor(who) if isinstance(who, ApiKey) else None
        if fresh is None:
            raise
    return await _caller(context, fresh)


async def _successor(key: ApiKey) -> ApiKey | None:
    successor = partial(ApiKey.objects.successor_of, key.pk)
    return await database_sync_to_async(read_in_tenant_scope)(key.tenant_id, successor)


async def _caller(context: Context, who: ApiKey | Member | None) -> Caller:
    """Raises Wait, Refused."""
    try:
        if isinstance(who, ApiKey):
            caller = await context.authenticator.by_digest(bytes(who.digest))
        elif who:
            caller = await context.authenticator.by_member(who.pk)
        else:
            raise Refused("access_revoked")
    except TenantClosed:
        raise Refused("tenant_closed") from None
    except UnknownCaller:
        raise Refused("access_revoked") from None
    except AuthenticationUnavailable:
        raise Wait(LEAST_WAIT_S) from None
    return replace(caller, networks=())  # its address was checked when the row was made


def consequence(refusal: Exception) -> Wait | Refused:
    """Returns what one of `refusals.REFUSALS` means for the work."""
    error = as_error(refusal)
    if isinstance(refusal, NotAdmitted):
        if refusal.admission.never_fits:
            return Refused(error.code)
        return Wait(_at_least(refusal.admission.frees_in_ms / 1000), error.code, is_limit=True)
    if error.status == 429 or error.status >= 500:
        return Wait(_at_least(error.retry_after), error.code, is_limit=error.status == 429)
    return Refused(error.code, **({"param": error.param} if error.param else {}))


def _at_least(seconds: float) -> float:
    return max(LEAST_WAIT_S, seconds)
