"""The caller of a dialogue's requests: its API key, and the person whom their texts are about."""

from dataclasses import replace

from inference.dialogues.scoped import read_in_tenant
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
from tenants.models import ApiKey


class NoCaller(Exception):
    """The dialogue's key is gone, or its tenant is closed. `code` is for programs."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def caller_of(context: Context, dialogue: Dialogue) -> Caller:
    """Returns the caller as it is now, by the successor of a rotated key that has ended.

    Raises NoCaller, OutOfService, NotAllowed.
    """
    key = dialogue.api_key
    if key is None:
        raise NoCaller("access_revoked")
    try:
        caller = await of_digest(context, bytes(key.digest))
    except NoCaller:
        fresh = await read_in_tenant(key.tenant_id, ApiKey.objects.successor_of, key.pk)
        if fresh is None:
            raise
        caller = await of_digest(context, bytes(fresh.digest))
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
