"""Erases data again that an older backup restored. `make run` does it after every `migrate`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.erasure import tombstones
from audit.retention.legal_hold import OnHold
from infrastructure.postgres.scope import scope


class Command(BaseCommand):
    help = "Erases again the persons whose erased data a restored backup brought back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help="go through every erased person")
        parser.add_argument(
            "--write-back",
            action="store_true",
            help="file and backup are lost: write the lines that the database knows",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with scope(system=True):
                if options["write_back"]:
                    self.stdout.write(f"{tombstones.write_back()} lines were written back")
                pending = tombstones.unapplied(thorough=options["all"])
        except (tombstones.BadTombstone, OSError) as problem:
            raise CommandError(f"{tombstones.path()}: {problem}; {tombstones.RESTORE}") from None
        count = 0
        for line in pending:
            try:
                tombstones.apply(line)
                count += 1
            except OnHold as hold:
                self.stdout.write(f"request {line.request_id} waits: {hold}")
        if pending:
            self.stdout.write(f"{count} erased persons were erased again")
        if problem_text := tombstones.startup_problem():
            raise CommandError(problem_text)
