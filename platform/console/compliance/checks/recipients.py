"""Checks of recipients of texts: the hosted models, which no local-only tenant may reach."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from console.compliance.check import Check, Outcome, Problem, Reach
from console.compliance.texts import Text
from inference.engines import engines as served_by
from inference.intake.access.allowed import visible
from tenants.caller import NO_LIMITS, Caller, LocalOnlyBy
from tenants.models import Tenant


def _recipients(_tenant: Tenant | None) -> Outcome:
    engines = [engine.config for engine in served_by()]
    hosted = sorted((e.name, urlsplit(e.url).hostname or "") for e in engines if e.hosted)
    figures: dict[str, Any] = {
        "models": len(engines),
        "hosted": len(hosted),
        "sub_processors": [f"{name} @ {host}" for name, host in hosted],
    }
    return Outcome("", figures)


def _residency(tenant: Tenant | None) -> Outcome:
    tenants = [tenant] if tenant else list(Tenant.objects.filter(local_only=True))
    hosted = [engine for engine in served_by() if engine.config.hosted]
    bound = [one for one in tenants if one.local_only]
    reached = sum(visible(_caller(one), engine) for one in bound for engine in hosted)
    figures = {"local_only": len(bound), "hosted": len(hosted), "reached": reached}
    return Outcome("reached" if reached else "", figures)


def _caller(tenant: Tenant) -> Caller:
    """Returns a caller who may use all that the tenant may."""
    return Caller(
        tenant_id=tenant.id,
        tenant=tenant.name,
        actor="check",
        subject_id=UUID(int=0),
        weight=1,
        limits=NO_LIMITS,
        local_only_by=LocalOnlyBy.TENANT if tenant.local_only else "",
    )


CHECKS = (
    Check(
        "recipients",
        Text("Recipients of texts (sub-processors)", "文本接收方（子处理者）"),
        Text(
            "Reads which of the served models are somebody else's machine.",
            "读取所提供的模型中哪些运行在他人的机器上。",
        ),
        _recipients,
        {},
        Reach.GENERAL,
    ),
    Check(
        "residency",
        Text("Local-only tenants reach no hosted model", "“仅本地”租户不可使用托管模型"),
        Text(
            "Asks the code that decides about each request whether a caller of a local-only tenant "
            "would get a hosted model.",
            "向决定每个请求的代码询问：“仅本地”租户的调用者能否使用托管模型。",
        ),
        _residency,
        {
            "reached": Problem(
                Text(
                    "A local-only tenant would reach a hosted model.",
                    "“仅本地”租户能够使用托管模型。",
                ),
                Text(
                    "This is a fault of the program: take the model out of FOREBAY_ENGINES and "
                    "report it.",
                    "这是程序缺陷：请从 FOREBAY_ENGINES 中移除该模型并报告。",
                ),
            )
        },
    ),
)
