from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from psycopg.errors import DeadlockDetected

from audit.trail import database_owner
from tenants import sql_installation

ATTEMPTS = 5


class Command(BaseCommand):
    help = (
        "Hands tables and functions to a role as which nobody can sign in, so that the application "
        "can only add to the audit trail. Run it with DATABASE_URL naming a superuser, after "
        "`migrate` (docs/deployment-database.md). The embedded database needs no such thing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--role", default="forebay", help="the application's own (forebay)")
        parser.add_argument(
            "--requests-role", default="", help="the one of FOREBAY_REQUESTS_DATABASE_URL"
        )

    def handle(self, *, role: str, requests_role: str, **_options: Any) -> None:
        try:
            _hand_over(role, requests_role)
        except database_owner.CannotProtect as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"{database_owner.OWNER} owns the tables; {role} reads and writes rows")
        if not requests_role:
            self.stdout.write(
                "requests share that role: an SQL injection could open every tenant's rows "
                "(--requests-role, docs/deployment-database.md)"
            )


def _hand_over(role: str, requests_role: str) -> None:
    """Hands over, and tries again if PostgreSQL ends a deadlock with a running platform."""
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            return sql_installation.hand_over(role, requests_role)
        except OperationalError as problem:
            if not attempts_left or not isinstance(problem.__cause__, DeadlockDetected):
                raise
    return None
