"""Running checks and storing their outcomes (audit.CheckRun)."""

import logging
import time
from datetime import timedelta

from celery import current_app
from django.db import transaction
from django.utils import timezone

from audit.models import CheckRun
from console.compliance.check import BROKEN, Check, CheckOutcome, Reach
from console.compliance.checks import CHECKS
from tenants.models import Tenant
from tenants.scope import system_scope, tenant_scope

log = logging.getLogger(__name__)
KEPT = timedelta(days=3 * 365)
AGAIN_AFTER = timedelta(seconds=30)  # a page's button does not run them more often

GENERAL_AFTER = timedelta(hours=1)


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
            _run_and_store(check)


def run_for_tenant(tenant: Tenant) -> None:
    """Run inside the tenant's scope: PostgreSQL shows no row of another tenant."""
    for check in of_reach(Reach.EACH):
        with tenant_scope(tenant.id):
            _run_and_store(check, tenant)


def run_general_if_old() -> None:
    """Run the general checks for a tenant's page, at most once an hour."""
    with system_scope():
        fresh = _names_of_runs(None, GENERAL_AFTER)
        for check in of_reach(Reach.GENERAL):
            if check.name not in fresh:
                _run_and_store(check)


def ask_for_general() -> None:
    """Have the jobs' process run them: a tenant's request may not look at the whole platform."""
    try:
        current_app.send_task("console.check_general", ignore_result=True)
    except Exception:  # the broker is away: they run each night anyway
        log.warning("cannot start the general checks now; they run tonight", exc_info=True)


def of_reach(reach: Reach) -> list[Check]:
    return [check for check in CHECKS.values() if check.reach is reach]


def ran_lately(tenant: Tenant | None) -> bool:
    """Returns whether all checks of such a run ran just now. Some run by their own clock too."""
    checks = of_reach(Reach.EACH) if tenant else CHECKS.values()
    return {check.name for check in checks} <= _names_of_runs(tenant, AGAIN_AFTER)


def _names_of_runs(tenant: Tenant | None, within: timedelta) -> set[str]:
    runs = CheckRun.objects.filter(tenant_id=tenant.id if tenant else None)
    return set(runs.filter(at__gt=timezone.now() - within).values_list("name", flat=True))


def _run_and_store(check: Check, tenant: Tenant | None = None) -> None:
    began, at = time.monotonic(), timezone.now()
    outcome = outcome_of(check, tenant)
    CheckRun.objects.create(
        name=check.name,
        tenant_id=tenant.id if tenant else None,
        general=check.reach is Reach.GENERAL,
        at=at,
        ok=not outcome.problem,
        figures=outcome.figures,
        problem=outcome.problem[:500],
        took_ms=round((time.monotonic() - began) * 1000),
    )


def outcome_of(check: Check, tenant: Tenant | None) -> CheckOutcome:
    """Run the check and roll back whatever it tried out."""
    try:
        with transaction.atomic():
            outcome = check.run(tenant)
            transaction.set_rollback(True)
        return outcome
    except Exception:
        log.exception("check %s failed to run", check.name)
        return CheckOutcome(BROKEN)
