"""What stands between `migrate` and the first process, in one: Django is loaded once for it."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from audit.erasure import tombstones


class Command(BaseCommand):
    help = (
        "Checks the keys, erases again what a restored backup brought back, and prepares the first "
        "sign-in. Prints what `first_run --json` prints. `make run` calls it at every start."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("check_keys", stdout=self.stderr)
        if tombstones.path().exists():  # erased again before anybody can look
            call_command("apply_tombstones", stdout=self.stderr)
        call_command("first_run", "--json", stdout=self.stdout)
