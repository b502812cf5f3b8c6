"""`manage.py prepare_start`: all steps between `migrate` and the first process.

It is one command, so that Django is loaded once.
"""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.erasure import tombstones
from inference.registry.importing import import_file
from infrastructure.postgres import schema_release


class Command(BaseCommand):
    help = (
        "Checks that tables and keys are the right ones, erases again what a restored backup "
        "brought back, imports the engines of FOREBAY_ENGINES, and prepares the first sign-in. "
        "Prints what `first_run --json` prints. "
        "`make run` calls it at every start."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--no-first-run",
            action="store_true",
            help="nobody signs in on this host: no link for that is made, which another may show",
        )
        parser.add_argument(
            "--no-jobs",
            dest="jobs",
            action="store_false",
            help="nobody erases on this host: it may lack the file of erasures",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if problem := schema_release.mismatch():
            raise CommandError(problem)
        call_command("check_keys", stdout=self.stderr)
        if options["jobs"] or tombstones.path().exists():  # erased again before anybody can look
            call_command("apply_tombstones", stdout=self.stderr)
        try:
            import_file()
        except ValueError as problem:
            raise CommandError(f"FOREBAY_ENGINES: {problem}") from None
        if options["no_first_run"]:
            self.stdout.write("{}")
        else:
            call_command("first_run", "--json", stdout=self.stdout)
