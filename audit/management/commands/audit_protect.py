from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from audit import protection


class Command(BaseCommand):
    help = (
        "Hands tables and functions to a role as which nobody can sign in, so that the application "
        "can only add to the audit trail. Run it with DATABASE_URL naming a superuser, after "
        "`migrate` (docs/deployment-database.md). The embedded database needs no such thing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--role", default="forebay", help="the application's own (forebay)")

    def handle(self, *, role: str, **_options: Any) -> None:
        try:
            protection.enforce(role)
        except protection.CannotProtect as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"{protection.OWNER} owns the tables; {role} reads and writes rows")
