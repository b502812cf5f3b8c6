"""Checks that compare the database with what the models and the trail ask of it."""

from typing import Any

from django.utils import timezone

from audit.actions import Action
from audit.checks import catalogue_check
from audit.models import Event
from audit.trail.record import act
from console.compliance import personal
from console.compliance.check import CheckOutcome, outcome
from console.compliance.personal import Data
from console.compliance.queries import is_refused
from tenants.isolation import check, composite_keys
from tenants.isolation import row_security as policies
from tenants.models import Tenant
from tenants.scope import system_scope


def row_security(_tenant: Tenant | None) -> CheckOutcome:
    """Compare the catalogue of PostgreSQL with the walls that keep tenants apart."""
    gaps = policies.check()
    if check.sees_all_by_itself():
        gaps.append("forebay.system is on in the settings of the role or the database")
    if problem := check.requests_problem():
        gaps.append(problem)
    guarded = policies.guarded()
    figures = {
        "tables": len(guarded),
        "policies": sum(map(len, guarded.values())),
        "tenant_keys": len(composite_keys.wanted()),
        "gaps": len(gaps),
    }
    return outcome(figures, gaps=gaps)


def append_only(_tenant: Tenant | None) -> CheckOutcome:
    """Write an event and try to change it. Everything is rolled back, the event too."""
    with system_scope():
        began = timezone.now()
        act(Action.AUDIT_VERIFY, actor="check")
        events = Event.objects.filter(at__gte=began, actor="check")
        answers = [is_refused(lambda: events.update(success=False)), is_refused(events.delete)]
    figures = {"attempts": len(answers), "refused": sum(answers)}
    return outcome(figures, changeable=not all(answers))


def protections(_tenant: Tenant | None) -> CheckOutcome:
    with system_scope():
        gaps = catalogue_check.problems()
    return outcome({"gaps": len(gaps)}, drift=gaps)


def data_map(_tenant: Tenant | None) -> CheckOutcome:
    """Compare the running models with the data map of personal data."""
    fields, gaps = personal.by_class(), personal.gaps()
    table = {data: names for data, names in fields.items() if data != Data.NONE}
    figures: dict[str, Any] = {
        "models": len(personal.MAP),
        "fields": sum(map(len, fields.values())),
        "personal_fields": sum(map(len, table.values())),
        "gaps": len(gaps),
        "table": table,
    }
    return outcome(figures, gaps=gaps)
