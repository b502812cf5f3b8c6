"""The caller of a dialogue's requests: its API key, and the person whom their texts are about."""

from dataclasses import replace

from inference.intake.access import allowed
from inference.intake.context import Context
from inference.intake.errors import OutOfService
from inference.models import Dialogue
from tenants.authentication.authenticator import (
    AuthenticationUnavailable,
    Restricted,
    TenantClosed,
    UnknownCaller,
)
from tenants.caller import Caller


class NoCaller(Exception):
    """The dialogue's key is gone, or its tenant is closed. `code` is for programs."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def caller_of(context: Context, dialogue: Dialogue) -> Caller:
    """Returns the caller as it is now. Raises NoCaller, OutOfService, NotAllowed."""
    if dialogue.api_key is None:
        raise NoCaller("access_revoked")
    caller = await of_digest(context, bytes(dialogue.api_key.digest))
    return about(caller, dialogue)


async def of_digest(context: Context, digest: bytes) -> Caller:
    """Returns the caller of a key without its networks: its people come from anywhere.

    Raises as `caller_of` does.
    """
    try:
        caller = await context.authenticator.by_digest(digest)
    except TenantClosed:
        raise NoCaller("tenant_closed") from None
    except (Restricted, UnknownCaller):
        raise NoCaller("access_revoked") from None
    except AuthenticationUnavailable:
        raise OutOfService("the database does not answer") from None
    allowed.check_scope(caller)
    return replace(caller, networks=())


def about(caller: Caller, dialogue: Dialogue) -> Caller:
    """Returns the caller with the person as the subject: texts on record are under their key."""
    return replace(caller, subject_id=dialogue.subject_id)
