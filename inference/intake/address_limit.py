"""Each request counts for its address, once: for most, their admission sees to it.

Before authentication an address pays for each key that nobody here has come in with, so that
whoever tries keys is soon refused without asking the database; and for what no admission follows.
An address that is over its limit is refused without asking anybody.
"""

from dataclasses import replace
from uuid import uuid4

from django.conf import settings

from inference.intake.gateway import Gateway, NotAdmitted
from inference.record import ledger
from tenants.caller import Caller, Limits
from tenants.rate_limits.admission import Admission, Ask
from tenants.rate_limits.client_address import counted
from tenants.refusals.recorder import Refused


async def charge(gateway: Gateway, key: str, client_ip: str, route: str) -> int:
    """When the address was charged for this request; 0: not yet, `look` or its admission will.

    Raises NotAdmitted.
    """
    address = counted(client_ip) if settings.IP_PER_MINUTE else ""
    if not address:
        return 0
    admission, counted_at = gateway.rate_limiter.blocked(address), 0
    if admission is None and not gateway.authenticator.expected(key):
        ask = Ask(str(uuid4()), address, settings.IP_PER_MINUTE)
        admission, counted_at = await gateway.rate_limiter.admit(ask)
    if admission and admission.tier:
        raise _noted(gateway, admission, gateway.authenticator.last_known(key), client_ip, route)
    return counted_at


async def charge_unadmitted(
    gateway: Gateway, caller: Caller, client_ip: str, route: str
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
    )
    admission = await _admitted(gateway, ask)
    if admission.tier:
        raise _noted(gateway, admission, caller, client_ip, route)
    return admission


async def look(
    gateway: Gateway, caller: Caller, client_ip: str, route: str, counted_at: int
) -> Admission:
    """For what no admission follows: what all limits leave. Charges the address alone, and that
    only where it has not been `counted_at` some time.

    Raises NotAdmitted.
    """
    ask = Ask.of(
        caller,
        str(uuid4()),
        client_ip=client_ip,
        per_address=settings.IP_PER_MINUTE,
        hold_s=0,
        address_counted_at=counted_at,
        only_looks=True,
    )
    admission = await _admitted(gateway, ask)
    if admission.tier:
        raise _noted(gateway, admission, caller, client_ip, route)
    return admission


async def _admitted(gateway: Gateway, ask: Ask) -> Admission:
    if not ask.limited:
        return Admission("")
    admission, _ = await gateway.rate_limiter.admit(ask)
    return admission


def _of_rate(limits: Limits) -> Limits:
    """Not how many run at once. The limit of tokens stays: without it, its bucket would refill."""
    return replace(limits, max_concurrency=0)


def _noted(
    gateway: Gateway, admission: Admission, caller: Caller | None, client_ip: str, route: str
) -> NotAdmitted:
    """Told to the tenant whom the key opened for last, if it ever did here."""
    tenant_id, actor = (caller.tenant_id, caller.actor) if caller else (None, "unknown")
    who = Refused(tenant_id, actor, route, client_net=ledger.network(client_ip))
    refused = NotAdmitted(admission)
    refused.refusal_id = gateway.refusals.note(who, admission)
    return refused
