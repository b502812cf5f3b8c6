"""The signed compliance report: the page as it was when the report was made, verifiable without the
platform (signed_report.py).
"""

from datetime import UTC
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone

from console.compliance.clause import REGIMES
from console.compliance.overview import STATES, ClauseRow, Evidence, Overview
from console.compliance.signed_report import FORMAT, Report, checkpoint, inside, signed, signed_page
from infrastructure import release
from tenants.models import Tenant


def make(overview: Overview, tenant: Tenant | None, regime: str, *, by: str) -> Report:
    body = {
        "format": FORMAT,
        "made_at": timezone.now().isoformat(),
        "made_by": by,
        "installation": settings.PUBLIC_URL,
        "version": release.VERSION,
        "tenant": {"id": str(tenant.id), "name": tenant.name} if tenant else None,
        "profile": tenant.profile if tenant else settings.PROFILE,
        "regimes": {n: text.both() for n, text in REGIMES.items() if regime in ("", n)},
        "note": NOTE,
        "blockers": [blocker.evidence.check.name for blocker in overview.blockers],
        "clauses": [_clause(line) for line in overview.lines],
        "checks": {one.check.name: _check(one) for one in overview.evidence},
        "checkpoint": checkpoint(),
    }
    return signed(body)


NOTE = {
    "en": "Results of checks that ran on the running platform. It is no assessment, no score and "
    "no legal advice; what is marked as the customer's is not looked at.",
    "zh-hans": "本报告为在运行中的平台上实际执行的检查结果，不是测评、评分或法律意见；"
    "标为客户负责的事项未作检查。",
}


def as_html(report: Report, overview: Overview) -> bytes:
    """Render the page in the reader's language, in UTC; the JSON inside has both languages."""
    context = {
        "report": report,
        "body": report["body"],
        "standing": overview,
        "inside": inside(report),
    }
    with timezone.override(UTC):
        return signed_page(render_to_string("console/compliance/report.html", context))


def _clause(line: ClauseRow) -> dict[str, Any]:
    clause = line.clause
    texts = {
        name: text.both()
        for name in ("title", "asks", "feature", "customer", "missing")
        if (text := getattr(clause, name)).en
    }
    return {
        "regime": clause.regime,
        "number": clause.number,
        **texts,
        "state": line.state,
        "state_word": STATES[line.state].both(),
        "checks": list(clause.checks),
    }


def _check(one: Evidence) -> dict[str, Any]:
    body: dict[str, Any] = {"label": one.check.label.both(), "how": one.check.how.both()}
    if one.run is None:
        return body | {"ran": False}
    body |= {
        "ran": True,
        "ok": one.run.ok,
        "at": one.run.at.isoformat(),
        "took_ms": one.run.took_ms,
        "figures": one.run.figures,
        "nothing_to_look_at": one.is_empty,
    }
    if problem := one.problem:
        body |= {"problem": problem.what.both(), "todo": problem.todo.both()}
    return body
