"""Step 1: identifies the caller by the key, for every front end whose callers have keys."""

from inference.errors import Forbidden, Unauthorized, Unavailable
from inference.intake.access.revocation import RESTRICTED, RESTRICTED_TEXT
from inference.intake.context import Context
from tenants.authentication.authenticator import (
    AuthenticationUnavailable,
    Restricted,
    TenantClosed,
    UnknownCaller,
)
from tenants.caller import Caller

_CLOSED = {
    "suspended": "this tenant is suspended; ask those who run this platform",
    "closing": "this tenant has been closed",
}


async def identify(context: Context, key: str) -> Caller:
    """Returns the caller of a key.

    Raises Unauthorized, Forbidden (with the caller of the key), Unavailable.
    """
    if not key:
        raise Unauthorized("no API key: send `Authorization: Bearer sk-fb-…`")
    try:
        return await context.authenticator.by_key(key)
    except TenantClosed as closed:
        raise _refused(context, key, _CLOSED[closed.state], f"tenant_{closed.state}") from None
    except Restricted:
        raise _refused(context, key, RESTRICTED_TEXT, RESTRICTED) from None
    except UnknownCaller:
        raise Unauthorized("this API key is wrong, revoked or expired") from None
    except AuthenticationUnavailable:
        raise Unavailable("the database does not answer; try again", retry_after=2) from None


async def current_caller(context: Context, caller: Caller) -> Caller:
    """Returns the caller as it is now, after a request has waited.

    Raises Unauthorized if its key is revoked, Unavailable.
    """
    assert isinstance(caller.credential, bytes)
    try:
        return await context.authenticator.by_digest(caller.credential)
    except UnknownCaller:
        raise Unauthorized("this API key was revoked, or may not be used, meanwhile") from None
    except AuthenticationUnavailable:
        raise Unavailable("the database does not answer; try again", retry_after=2) from None


def _refused(context: Context, key: str, text: str, code: str) -> Forbidden:
    refused = Forbidden(text, code=code)
    refused.caller = context.authenticator.last_known(key)
    return refused
