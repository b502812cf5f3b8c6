from typing import Any

from django.core.management import BaseCommand, CommandError

from audit.checks import catalogue_check
from audit.trail import database_owner


class Command(BaseCommand):
    help = "Compares what holds the audit trail together in the database with what it should be."

    def handle(self, **_options: Any) -> None:
        if not catalogue_check.is_migrated():
            raise CommandError("migrations are missing: run `manage.py migrate`")
        run = catalogue_check.run()
        problems: list[str] = run.figures["problems"]
        for problem in problems:
            self.stdout.write(f"- {problem}")
        if not database_owner.owner_exists():
            self.stdout.write(
                "note: the tables belong to the application, which could disable their triggers; "
                "`manage.py audit_protect` hands them over (docs/deployment-database.md)"
            )
        if problems:
            raise CommandError(f"{len(problems)} problems: {catalogue_check.REMEDY}")
        self.stdout.write(
            f"as it should be; oldest event without a seal: {run.figures['unsealed_s']} s"
        )
