"""Runs checks, and keeps what they found (audit.CheckRun)."""

import logging
import time
from collections.abc import Iterable
from datetime import timedelta

from celery import current_app
from django.db import transaction
from django.utils import timezone

from audit.models import CheckRun
from console.compliance.check import BROKEN, Check, Found, Reach
from console.compliance.checks import CHECKS
from tenants.models import Tenant
from tenants.scope import system_scope, tenant_scope

log = logging.getLogger(__name__)
KEPT = timedelta(days=3 * 365)  # of what checks have found
AGAIN_AFTER = timedelta(seconds=30)  # a page's button does not run them more often

GENERAL_AFTER = timedelta(hours=1)


class _Undone(Exception):
    """Whatever a check tries out, its rows go with it."""


def all_night() -> None:
    """Every check, for the platform and for each tenant."""
    with system_scope():
        CheckRun.objects.filter(at__lt=timezone.now() - KEPT).delete()
        tenants = list(Tenant.objects.order_by("name"))
    run_for_platform()
    for tenant in tenants:
        run_for_tenant(tenant)


def run_for_platform() -> None:
    for check in CHECKS.values():
        with system_scope():
            _keep(check, None)


def run_for_tenant(tenant: Tenant) -> None:
    """Within the walls of PostgreSQL: no row of another tenant is there to be counted."""
    for check in of_reach(Reach.EACH):
        with tenant_scope(tenant.id):
            _keep(check, tenant)


def run_general_if_old() -> None:
    """What tells nothing of anybody, for a tenant's page, and at most once an hour."""
    with system_scope():
        names = [check.name for check in of_reach(Reach.GENERAL)]
        runs = CheckRun.objects.filter(tenant_id=None, at__gt=timezone.now() - GENERAL_AFTER)
        fresh = set(runs.filter(name__in=names).values_list("name", flat=True))
        for check in of_reach(Reach.GENERAL):
            if check.name not in fresh:
                _keep(check, None)


def ask_for_general() -> None:
    """By the jobs' process: it is not for a tenant's request to look at the whole platform."""
    try:
        current_app.send_task("console.check_general", ignore_result=True)
    except Exception:  # the broker is away: they run each night anyway
        log.warning("cannot start the general checks now; they run tonight", exc_info=True)


def of_reach(reach: Reach) -> Iterable[Check]:
    return [check for check in CHECKS.values() if check.reach is reach]


def ran_lately(tenant: Tenant | None) -> bool:
    """Whether every check that a run would make has just run: some run by a clock of their own."""
    checks = of_reach(Reach.EACH) if tenant else CHECKS.values()
    names = {check.name for check in checks}
    runs = CheckRun.objects.filter(tenant_id=tenant.id if tenant else None, name__in=names)
    lately = runs.filter(at__gt=timezone.now() - AGAIN_AFTER)
    return set(lately.values_list("name", flat=True)) == names


def _keep(check: Check, tenant: Tenant | None) -> CheckRun:
    began, at = time.monotonic(), timezone.now()
    found = result(check, tenant)
    return CheckRun.objects.create(
        name=check.name,
        tenant_id=tenant.id if tenant else None,
        general=check.reach is Reach.GENERAL,
        at=at,
        ok=not found.problem,
        figures=found.figures,
        problem=found.problem[:500],
        took_ms=round((time.monotonic() - began) * 1000),
    )


def result(check: Check, tenant: Tenant | None) -> Found:
    """What the check finds now. Nothing that it tried out stays in the database."""
    found: list[Found] = []
    try:
        with transaction.atomic():
            found.append(check.run(tenant))
            raise _Undone
    except _Undone:
        return found[0]
    except Exception:
        log.exception("check %s failed to run", check.name)
        return Found(BROKEN)
