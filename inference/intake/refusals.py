"""Who was refused what is noted for the tenant, and gets an id by which it is explained."""

from audit.actions import Action
from audit.trail.network import network
from inference.intake.caching import NOT_KEPT
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted
from tenants.caller import Caller
from tenants.quotas.verdict import OutOfQuota
from tenants.rate_limits.admission import Admission
from tenants.refusals.recorder import Refused


def not_admitted(
    context: Context,
    refused: Admission | NotAdmitted,
    caller: Caller | None,
    route: str,
    client_ip: str,
    model: str = "",
) -> NotAdmitted:
    """The exception to raise. Without a caller nobody's tenant hears of it."""
    problem = refused if isinstance(refused, NotAdmitted) else NotAdmitted(refused)
    who = _who(caller, route, client_ip, model)
    problem.refusal_id = context.refusals.note(who, problem.admission)
    return problem


def denied(
    context: Context,
    caller: Caller | None,
    route: str,
    client_ip: str,
    *,
    status: int,
    code: str,
    model: str = "",
) -> None:
    """For what the caller may not see or do, or where nobody knows who they are."""
    context.refusals.denied(_who(caller, route, client_ip, model), status, code)


def not_kept(context: Context, caller: Caller | None, route: str, client_ip: str) -> None:
    """For whom a kept answer alone would do, where there is none."""
    who = _who(caller, route, client_ip, "")
    context.refusals.denied(who, 404, NOT_KEPT, Action.REQUEST_REFUSED)


def out_of_quota(found: OutOfQuota) -> NotAdmitted:
    admission = Admission(
        tier="quota",
        limit=found.limit,
        used=found.used + found.reserved,
        frees_in_ms=found.frees_in_ms,
        counter=found.quota_id,
        unit=found.unit,
        window=found.window,
        asked=found.asked,
    )
    return NotAdmitted(admission, str(found))


def _who(caller: Caller | None, route: str, client_ip: str, model: str) -> Refused:
    tenant_id, actor = (caller.tenant_id, caller.actor) if caller else (None, "unknown")
    return Refused(tenant_id, actor, route, model, network(client_ip))
