"""`manage.py isolation`: shows on this installation that tenants do not see each other."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from console.isolation import parallel_proof, proof, report
from console.isolation.callers import NAMES
from console.isolation.crawler import Cell, Extent
from tenants.isolation.check import REMEDY

EVERY = 500  # requests between two lines of progress
MOST = 4  # processes
STAYS = (
    "What was made is taken away again. What is kept for ever stays: events in the audit trail, "
    "results of checks, tombstones, and one legal hold of each tenant, released."
)


class Command(BaseCommand):
    help = (
        "Makes two tenants with people of every role, walks every address as each of them, "
        "prints what was answered, and takes it all away again."
    )

    _asked = 0

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--processes",
            type=int,
            choices=range(1, MOST + 1),
            default=min(MOST, os.cpu_count() or 1),
            help=f"how many walk side by side (default: one for each core, at most {MOST})",
        )

        parser.add_argument(
            "--caller",
            action="append",
            choices=NAMES,
            help="walk as this one alone, in one process; may be repeated (default: all of them)",
        )

    def handle(self, *args: Any, processes: int, caller: list[str] | None, **_rest: Any) -> None:
        self._refuse_gaps(proof.catalogue())
        with _quiet():
            result = self._proof(1 if caller else processes, caller)
        for line in (*report.lines(result), "", *report.summary(result)):
            self.stdout.write(line)
        self.stderr.write(STAYS)
        if result.leaks or result.wrong or result.touched:
            raise CommandError("tenants are not kept apart everywhere: see above")

    def _proof(self, processes: int, callers: list[str] | None) -> proof.IsolationProof:
        try:
            if processes > 1:
                return parallel_proof.prove(processes, self._progress)
            application = import_string(settings.ASGI_APPLICATION)
            extent = Extent(only=callers or NAMES)
            return asyncio.run(proof.prove(application, extent, self._progress))
        except parallel_proof.WalkFailed:
            raise CommandError("the walk broke off: see above") from None

    def _progress(self, cell: Cell) -> None:
        """Print progress: some thousand requests take a minute."""
        self._asked += 1
        if cell.problem:
            self.stderr.write(f"{cell.method} {cell.path} as {cell.caller}: {cell.problem}")
        if self._asked % EVERY == 0:
            self.stderr.write(f"{self._asked} requests, now at {cell.path}")

    def _refuse_gaps(self, gaps: list[str]) -> None:
        """Raises CommandError for gaps in the database: no web process starts over them."""
        for problem in gaps:
            self.stdout.write(f"catalogue: {problem}")
        if gaps:
            raise CommandError(f"the database does not keep tenants apart: {REMEDY}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log of refusals, and clean up whatever ends the command."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        signal.signal(signal.SIGTERM, before)
