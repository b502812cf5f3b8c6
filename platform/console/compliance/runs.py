"""Running checks and storing their outcomes (audit.CheckRun)."""

import logging
import time
from collections.abc import Iterable
from datetime import timedelta

from celery import current_app
from django.db import transaction
from django.utils import timezone

from audit.models import CheckRun
from console.compliance.check import BROKEN, Check, Outcome, Reach
from console.compliance.checks import CHECKS
from tenants.models import Tenant
from tenants.scope import system_scope, tenant_scope

log = logging.getLogger(__name__)
KEPT = timedelta(days=3 * 365)
AGAIN_AFTER = timedelta(seconds=30)  # a page's button does not run them more often

GENERAL_AFTER = timedelta(hours=1)


class _Undone(Exception):
    """Rolls back whatever a check has tried out."""


def all_night() -> None:
    """Run every check, for the platform and for each tenant."""
    with system_scope():
        CheckRun.objects.filter(at__lt=timezone.now() - KEPT).delete()
        tenants = list(Tenant.objects.order_by("name"))
    run_for_platform()
    for tenant in tenants:
        run_for_tenant(tenant)


def run_for_platform() -> None:
    for check in CHECKS.values():
        with system_scope():
            _run_and_store(check, None)


def run_for_tenant(tenant: Tenant) -> None:
    """Run inside the tenant's scope: PostgreSQL shows no row of another tenant."""
    for check in of_reach(Reach.EACH):
        with tenant_scope(tenant.id):
            _run_and_store(check, tenant)


def run_general_if_old() -> None:
    """Run the general checks for a tenant's page, at most once an hour."""
    with system_scope():
        names = [check.name for check in of_reach(Reach.GENERAL)]
        runs = CheckRun.objects.filter(tenant_id=None, at__gt=timezone.now() - GENERAL_AFTER)
        fresh = set(runs.filter(name__in=names).values_list("name", flat=True))
        for check in of_reach(Reach.GENERAL):
            if check.name not in fresh:
                _run_and_store(check, None)


def ask_for_general() -> None:
    """Have the jobs' process run them: a tenant's request may not look at the whole platform."""
    try:
        current_app.send_task("console.check_general", ignore_result=True)
    except Exception:  # the broker is away: they run each night anyway
        log.warning("cannot start the general checks now; they run tonight", exc_info=True)


def of_reach(reach: Reach) -> Iterable[Check]:
    return [check for check in CHECKS.values() if check.reach is reach]


def ran_lately(tenant: Tenant | None) -> bool:
    """Returns whether all checks of such a run ran just now. Some run by their own clock too."""
    checks = of_reach(Reach.EACH) if tenant else CHECKS.values()
    names = {check.name for check in checks}
    runs = CheckRun.objects.filter(tenant_id=tenant.id if tenant else None, name__in=names)
    recent = runs.filter(at__gt=timezone.now() - AGAIN_AFTER)
    return set(recent.values_list("name", flat=True)) == names


def _run_and_store(check: Check, tenant: Tenant | None) -> CheckRun:
    began, at = time.monotonic(), timezone.now()
    outcome = outcome_of(check, tenant)
    return CheckRun.objects.create(
        name=check.name,
        tenant_id=tenant.id if tenant else None,
        general=check.reach is Reach.GENERAL,
        at=at,
        ok=not outcome.problem,
        figures=outcome.figures,
        problem=outcome.problem[:500],
        took_ms=round((time.monotonic() - began) * 1000),
    )


def outcome_of(check: Check, tenant: Tenant | None) -> Outcome:
    """Run the check and roll back whatever it tried out."""
    outcomes: list[Outcome] = []
    try:
        with transaction.atomic():
            outcomes.append(check.run(tenant))
            raise _Undone
    except _Undone:
        return outcomes[0]
    except Exception:
        log.exception("check %s failed to run", check.name)
        return Outcome(BROKEN)
