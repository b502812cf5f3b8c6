from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.keys.key_check import startup_problem


class Command(BaseCommand):
    help = "Fails when the master key is not the one that this database was made with."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if problem := startup_problem():
            raise CommandError(problem)
        self.stdout.write("The master key and the platform's secret are the right ones.")
