"""A check of the nightly verification of the whole trail (audit/checks/full_verification.py)."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from audit.checks.full_verification import NAME
from audit.models import Checkpoint, CheckRun
from console.compliance.check import Check, Outcome, Problem, Reach
from console.compliance.texts import Text
from tenants.models import Tenant

STALE = timedelta(days=2)


def _newest(_tenant: Tenant | None) -> Outcome:
    """Show the kinds of findings: their events and tenants are for operators."""
    run = CheckRun.objects.filter(name=NAME, tenant_id=None).order_by("-at").first()
    old = timezone.now() - STALE
    if run is None:
        late = Checkpoint.objects.filter(at__lt=old).exists()
        return Outcome("stale" if late else "", {"sealed_events": 0, "verified_at": None})
    figures: dict[str, Any] = {
        "sealed_events": run.figures.get("sealed", 0),
        "checkpoints": run.figures.get("checkpoints", 0),
        "witnessed": run.figures.get("witnessed", 0),
        "wrong": run.figures.get("found", 0),
        "verified_at": run.at.isoformat(),
    }
    if not run.ok:
        kinds = run.figures.get("kinds", {})
        return Outcome("findings", {**figures, "found": [f"{n} × {k}" for k, n in kinds.items()]})
    return Outcome("stale" if run.at < old else "", figures)


CHECKS = (
    Check(
        "verified",
        Text("All of the trail, verified at night", "每夜校验全部审计记录"),
        Text(
            "Looks at the newest nightly verification: every event, seal, checkpoint, text and "
            "what file witnesses have heard.",
            "查看最近一次夜间校验：全部事件、封存、检查点、文本及文件见证的内容。",
        ),
        _newest,
        {
            "findings": Problem(
                Text(
                    "The nightly verification found what is not as it was written, or could not "
                    "look at everything.",
                    "夜间校验发现记录与写入时不一致，或未能完整校验。",
                ),
                Text(
                    "Run `manage.py audit_verify`, keep its output and the witnesses' files, and "
                    "take a copy of the database before anything else.",
                    "运行 `manage.py audit_verify`，保存其输出与见证文件，并首先复制数据库。",
                ),
            ),
            "stale": Problem(
                Text(
                    "The trail has not been verified as a whole for two days.",
                    "审计记录已有两天未做完整校验。",
                ),
                Text(
                    "See whether Celery's beat and a worker for jobs run at night, and whether "
                    "the verification takes too long.",
                    "请确认夜间 Celery beat 与 jobs worker 正在运行，且校验耗时并不过长。",
                ),
            ),
        },
        Reach.GENERAL,
        over="sealed_events",
    ),
)
