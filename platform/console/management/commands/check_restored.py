"""`manage.py check_restored`: looks at a restored copy of the database (`forebay backup verify`).

It writes into the copy: never let it run on the database of a running platform.
"""

import json
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from audit.erasure import tombstones
from audit.models import Event
from audit.verification.verify import open_trail, verify
from inference.record.reconciliation import reconcile_day
from infrastructure.postgres.scope import scope
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Checks a restored copy: audit trail, one text of each key, books, erasures. As JSON."
    requires_system_checks = ()

    def handle(self, *_args: Any, **_options: Any) -> None:
        with open_trail() as connection:
            report = verify(connection, at_home=True)
        findings = [
            f"{finding.kind}: {finding.text}"
            for finding in report.findings
            if finding.kind != "event_waits"  # nothing seals a copy
        ]
        with scope(system=True):
            findings += _books()
            pending = len(list(tombstones.unapplied()))
            events = Event.objects.count()
        answer = {"findings": findings, "events": events, "to_erase_again": pending}
        self.stdout.write(json.dumps({**answer, "keys_tried": report.figures.get("data_keys", 0)}))


def _books() -> list[str]:
    today = timezone.now().date()
    tenants = list(Tenant.objects.all())
    days = [day for back in (1, 0) for day in reconcile_day(today - timedelta(back), tenants)]
    return [
        f"ledger and usage of tenant {day.tenant_id} differ on {day.day} by {day.difference}"
        for day in days
        if day.difference
    ]
