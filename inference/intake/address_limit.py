"""Each request counts for its address, once: for most, their admission sees to it.

Before authentication an address pays for each key that nobody here has come in with, so that
whoever tries keys is soon refused without asking the database; and for what no admission follows.
An address that is over its limit is refused without asking anybody.
"""

import math
from dataclasses import replace
from uuid import uuid4

from django.conf import settings
from msgspec import structs

from inference.intake.context import Context
from inference.intake.refusals import not_admitted
from tenants.caller import Caller, Limits
from tenants.rate_limits.admission import Admission, Ask
from tenants.rate_limits.client_address import counted


async def charge(context: Context, key: str, client_ip: str, route: str) -> int:
    """When the address was charged for this request; 0: not yet, `look` or its admission will.

    Raises NotAdmitted.
    """
    address = counted(client_ip) if settings.IP_PER_MINUTE else ""
    if not address:
        return 0
    admission, counted_at = context.rate_limiter.blocked(address), 0
    if admission is None and not context.authenticator.expected(key):
        ask = Ask(str(uuid4()), address, settings.IP_PER_MINUTE)
        admission, counted_at = await context.rate_limiter.admit(ask)
    if admission and admission.tier:
        caller = context.authenticator.last_known(key)
        raise not_admitted(context, admission, caller, route, client_ip)
    return counted_at


def _look_of(caller: Caller, client_ip: str, counted_at: int) -> Ask:
    """Returns a question that charges the address alone, and that once."""
    return Ask.of(
        caller,
        str(uuid4()),
        client_ip=client_ip,
        per_address=settings.IP_PER_MINUTE,
        hold_s=0,
        address_counted_at=counted_at,
        only_looks=True,
    )


async def charge_before_reading(
    context: Context, caller: Caller, client_ip: str, route: str, counted_at: int
) -> int:
    """For a body that is so large that reading it is work: when its address was charged.

    Raises NotAdmitted, also where key or tenant have no request left. They are charged once it is
    admitted, or refused.
    """
    ask = _look_of(caller, client_ip, counted_at)
    if not ask.limited:
        return counted_at
    admission, counted_at = await context.rate_limiter.admit(ask)
    admission = admission if admission.tier else _used_up(admission)
    if admission.tier:
        raise not_admitted(context, admission, caller, route, client_ip)
    return counted_at


def _used_up(admission: Admission) -> Admission:
    """The refusal that follows from what a look has shown, if one does."""
    left = admission.requests
    if admission.scope not in ("rate", "key_rate") or left is None or left.remaining:
        return admission
    frees = math.ceil(60_000 / left.limit)  # what one request takes to come back
    return structs.replace(
        admission, tier=admission.scope, limit=left.limit, used=left.limit, frees_in_ms=frees
    )


async def charge_unadmitted(
    context: Context, caller: Caller, client_ip: str, route: str, counted_at: int = 0
) -> Admission:
    """For a request that was refused before its admission: looking at it was work.

    It counts as a request for its address, key and tenant; as none that runs, and for no quota.
    Raises NotAdmitted when one of them is over its limit.
    """
    ask = Ask.of(
        replace(caller, limits=_of_rate(caller.limits), key_limits=_of_rate(caller.key_limits)),
        str(uuid4()),
        client_ip=client_ip,
        per_address=settings.IP_PER_MINUTE,
        hold_s=0,
        address_counted_at=counted_at,
    )
    admission = await _admitted(context, ask)
    if admission.tier:
        raise not_admitted(context, admission, caller, route, client_ip)
    return admission


async def charge_stored(
    context: Context, caller: Caller, client_ip: str, route: str, size: int
) -> None:
    """So many bytes that a request stores, as it stores them: nobody knows beforehand how many a
    compressed body has. Raises NotAdmitted.
    """
    if not (caller.limits.megabytes_per_day or caller.key_limits.megabytes_per_day):
        return
    ask = Ask.of(caller, str(uuid4()), size=size, hold_s=0, takes_slot=False, requests=0)
    admission = await _admitted(context, ask)
    if admission.tier:
        raise not_admitted(context, admission, caller, route, client_ip)


async def look(
    context: Context, caller: Caller, client_ip: str, route: str, counted_at: int
) -> Admission:
    """For what no admission follows: what all limits leave. Charges the address alone, and that
    only where it has not been `counted_at` some time.

    Raises NotAdmitted.
    """
    ask = _look_of(caller, client_ip, counted_at)
    admission = await _admitted(context, ask)
    if admission.tier:
        raise not_admitted(context, admission, caller, route, client_ip)
    return admission


async def _admitted(context: Context, ask: Ask) -> Admission:
    if not ask.limited:
        return Admission("")
    admission, _ = await context.rate_limiter.admit(ask)
    return admission


def _of_rate(limits: Limits) -> Limits:
    """Not how many run at once. The limit of tokens stays: without it, its bucket would refill."""
    return replace(limits, max_concurrency=0)
