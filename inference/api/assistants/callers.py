"""The caller with whose limits a version is built."""

from dataclasses import replace

from inference.intake.context import Context
from inference.models import AssistantVersion
from tenants.authentication.authenticator import (
    AuthenticationUnavailable,
    TenantClosed,
    UnknownCaller,
)
from tenants.caller import Caller
from tenants.models import ApiKey, Member

LEAST_WAIT_S, LONGEST_WAIT_S = 5.0, 600.0


class Wait(Exception):
    """The build cannot go on for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = max(LEAST_WAIT_S, min(seconds, LONGEST_WAIT_S))


class Refused(Exception):
    """The build can never go on. `code` is for programs."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def caller_of(context: Context, version: AssistantVersion) -> Caller:
    """Returns the caller as it is now. Raises Wait, Refused."""
    row = version.api_key or version.member
    if row is None:
        raise Refused("access_revoked")
    return await caller_of_row(context, row)


async def caller_of_row(context: Context, row: ApiKey | Member) -> Caller:
    """Returns the caller that a key or a member is now. Raises Wait, Refused."""
    try:
        if isinstance(row, ApiKey):
            caller = await context.authenticator.by_digest(bytes(row.digest))
        else:
            caller = await context.authenticator.by_member(row.pk)
    except TenantClosed:
        raise Refused("tenant_closed") from None
    except UnknownCaller:
        raise Refused("access_revoked") from None
    except AuthenticationUnavailable:
        raise Wait(LEAST_WAIT_S) from None
    return replace(caller, networks=())  # its address was checked when it asked for the build
