"""Records refusals for the tenant, with an id by which they can be explained."""

from audit.actions import Action
from audit.trail.truncated_address import network
from inference.intake.cache_lookup import NOT_KEPT
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted
from tenants.caller import Caller
from tenants.quotas.ledger_answer import QuotaWithoutRoom
from tenants.rate_limits.admission import Admission
from tenants.refusals.recorder import RefusedCall


def not_admitted(
    context: Context,
    refused: Admission | NotAdmitted,
    caller: Caller | None,
    route: str,
    client_ip: str,
    model: str = "",
) -> NotAdmitted:
    """Returns the exception to raise. Without a caller no tenant sees it."""
    problem = refused if isinstance(refused, NotAdmitted) else NotAdmitted(refused)
    who = _refused(caller, route, client_ip, model)
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
    """Record a denial: a caller without permission, or an unknown one."""
    context.refusals.denied(_refused(caller, route, client_ip, model), status, code)


def not_cached(context: Context, caller: Caller | None, route: str, client_ip: str) -> None:
    """Record that a request asked for a cached answer only, and there is none."""
    who = _refused(caller, route, client_ip, "")
    context.refusals.denied(who, 404, NOT_KEPT, Action.REQUEST_REFUSED)


def out_of_quota(quota: QuotaWithoutRoom) -> NotAdmitted:
    admission = Admission(
        tier="quota",
        limit=quota.limit,
        used=quota.used + quota.reserved,
        frees_in_ms=quota.frees_in_ms,
        counter=quota.quota_id,
        unit=quota.unit,
        window=quota.window,
        asked=quota.asked,
    )
    return NotAdmitted(admission, str(quota))


def _refused(caller: Caller | None, route: str, client_ip: str, model: str) -> RefusedCall:
    tenant_id, actor = (caller.tenant_id, caller.actor) if caller else (None, "unknown")
    return RefusedCall(tenant_id, actor, route, model, network(client_ip))
