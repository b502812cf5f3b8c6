"""Counts against rate limits outside an admission: unknown keys, early refusals, stored bytes.

An address is counted once for each request, usually at its admission. It is counted before
authentication for each key that is unknown here, so that a client that tries keys is soon refused
without a query; and for requests without an admission. An address over its limit is refused without
any query.
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


async def count_unknown_key(context: Context, key: str, client_ip: str, route: str) -> int:
    """Count the address of an unknown key. Returns when it was counted; 0 if that is still to do.

    Raises NotAdmitted.
    """
    address = counted(client_ip) if settings.ADDRESS_PER_MINUTE else ""
    if not address:
        return 0
    admission, counted_at = context.limits.rate.blocked(address), 0
    if admission is None and not context.authenticator.expected(key):
        ask = Ask(str(uuid4()), address, settings.ADDRESS_PER_MINUTE)
        admission, counted_at = await context.limits.rate.admit(ask)
    if admission and admission.tier:
        caller = context.authenticator.last_known(key)
        raise not_admitted(context, admission, caller, route, client_ip)
    return counted_at


def _ask_about(caller: Caller, client_ip: str, counted_at: int) -> Ask:
    """Returns a question that counts only the address, and only once."""
    return Ask.of(
        caller,
        str(uuid4()),
        client_ip=client_ip,
        per_address=settings.ADDRESS_PER_MINUTE,
        hold_s=0,
        address_counted_at=counted_at,
        only_looks=True,
    )


async def count_address(
    context: Context, caller: Caller, client_ip: str, route: str, counted_at: int
) -> int:
    """Count the address before a large body is read. Returns when it was counted.

    Raises NotAdmitted, also if key or tenant have no request left. They are counted at the
    admission, or at the refusal.
    """
    ask = _ask_about(caller, client_ip, counted_at)
    if not ask.limited:
        return counted_at
    admission, counted_at = await context.limits.rate.admit(ask)
    admission = admission if admission.tier else _used_up(admission)
    if admission.tier:
        raise not_admitted(context, admission, caller, route, client_ip)
    return counted_at


def _used_up(admission: Admission) -> Admission:
    rate = admission.requests
    if admission.scope not in ("rate", "key_rate") or rate is None or rate.remaining:
        return admission
    frees = math.ceil(60_000 / rate.limit)  # until one request is free again
    return structs.replace(
        admission, tier=admission.scope, limit=rate.limit, used=rate.limit, frees_in_ms=frees
    )


async def count_request(
    context: Context, caller: Caller, client_ip: str, route: str, counted_at: int = 0
) -> Admission:
    """Count a request that was refused before its admission: checking it was work.

    It counts as a request for its address, key and tenant, but not as a running one, and for no
    quota. Raises NotAdmitted if one of them is over its limit.
    """
    ask = Ask.of(
        replace(caller, limits=_of_rate(caller.limits), key_limits=_of_rate(caller.key_limits)),
        str(uuid4()),
        client_ip=client_ip,
        per_address=settings.ADDRESS_PER_MINUTE,
        hold_s=0,
        address_counted_at=counted_at,
    )
    return await _admitted(context, ask, caller, client_ip, route)


async def count_stored_bytes(
    context: Context, caller: Caller, client_ip: str, route: str, size: int
) -> None:
    """Count bytes as they are stored: a compressed body's size is unknown before.

    Raises NotAdmitted.
    """
    if not (caller.limits.megabytes_per_day or caller.key_limits.megabytes_per_day):
        return
    ask = Ask.of(caller, str(uuid4()), size=size, hold_s=0, takes_slot=False, requests=0)
    await _admitted(context, ask, caller, client_ip, route)


async def remaining(
    context: Context, caller: Caller, client_ip: str, route: str, counted_at: int
) -> Admission:
    """Returns what all limits have left, for a request without an admission.

    It counts only the address, unless that was counted at `counted_at`. Raises NotAdmitted.
    """
    ask = _ask_about(caller, client_ip, counted_at)
    return await _admitted(context, ask, caller, client_ip, route)


async def _admitted(
    context: Context, ask: Ask, caller: Caller, client_ip: str, route: str
) -> Admission:
    """Raises NotAdmitted."""
    if not ask.limited:
        return Admission("")
    admission, _ = await context.limits.rate.admit(ask)
    if admission.tier:
        raise not_admitted(context, admission, caller, route, client_ip)
    return admission


def _of_rate(limits: Limits) -> Limits:
    """Returns the limits without the one of running requests.

    The limit of tokens stays: without it, its bucket would refill.
    """
    return replace(limits, max_concurrency=0)
