from argparse import ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import CommandError, CommandParser

from inference.record.reconciliation import overruns, reconcile_day, reconcile_due
from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.models import Reconciliation, Tenant


class Command(JsonCommand):
    help = "Compares ledger, usage and counters of a day. Fails when they differ."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--day", type=_day, help="YYYY-MM-DD; without it, what has not been compared yet"
        )
        parser.add_argument("--tenant", help="the name of one tenant; without it, all")

    def answer(self, **options: Any) -> Answer:
        tenants = Tenant.objects.order_by("name")
        if options["tenant"]:
            tenants = tenants.filter(name=options["tenant"])
            if not tenants:
                raise CommandError(f"there is no tenant named {options['tenant']!r}")
        days = reconcile_day(options["day"], tenants) if options["day"] else reconcile_due()
        off = [_described(each) for each in days if each.difference]
        if off:
            raise CommandError(f"{len(off)} of {len(days)} differ: {off}")
        return {"compared": len(days), "difference": 0, "overruns": overruns(days)}

    def text(self, answer: Answer) -> str:
        beyond = f", {n} answers beyond what was set aside" if (n := answer["overruns"]) else ""
        return f"{answer['compared']} compared, difference 0{beyond}"


def _described(day: Reconciliation) -> str:
    return f"{day.tenant.name} on {day.day} by {day.difference}"


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("must be a day like 2026-11-25") from None
