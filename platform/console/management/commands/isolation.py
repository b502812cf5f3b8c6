"""`manage.py isolation`: shows on this very installation that tenants do not see each other."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from console.isolation import proof, report
from console.isolation.walk import Cell
from tenants.isolation_check import REMEDY

EVERY = 250  # requests between two lines of progress


class Command(BaseCommand):
    help = (
        "Makes two tenants with people of every role, walks every address as each of them, "
        "prints what was answered, and takes it all away again."
    )

    _asked = 0

    def handle(self, *args: Any, **options: Any) -> None:
        self._refuse_gaps(proof.catalogue())
        application = import_string(settings.ASGI_APPLICATION)
        with _undisturbed():
            found = asyncio.run(proof.prove(application, told=self._progress))
        for line in (*report.lines(found), "", *report.summary(found)):
            self.stdout.write(line)
        if found.leaks or found.wrong or found.touched:
            raise CommandError("tenants are not kept apart everywhere: see above")

    def _progress(self, cell: Cell) -> None:
        """Some thousand requests take minutes."""
        self._asked += 1
        if cell.problem:
            self.stderr.write(f"{cell.method} {cell.path} as {cell.caller}: {cell.problem}")
        if self._asked % EVERY == 0:
            self.stderr.write(f"{self._asked} requests, now at {cell.path}")

    def _refuse_gaps(self, gaps: list[str]) -> None:
        """Over a database with gaps no web process starts: there is nothing to walk."""
        for problem in gaps:
            self.stdout.write(f"catalogue: {problem}")
        if gaps:
            raise CommandError(f"the database does not keep tenants apart: {REMEDY}")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No line in the log for each refusal; whatever stops us, what we made is taken away."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        signal.signal(signal.SIGTERM, before)
