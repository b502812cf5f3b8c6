"""`manage.py audit_export`: a complete, signed export of one chain of the trail, to a file."""

import os
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit import export_format
from audit.actions import Action
from audit.record import act
from tenants.management.spans import moment, tenant_id
from tenants.scope import system_scope

BY = "command:audit_export"


class Command(BaseCommand):
    help = (
        "Writes everything of a time as JSON Lines with proofs, for forebay_verify.py: what "
        "happened in a tenant, or, without one, what operators and the platform itself did."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="that is not there yet")
        parser.add_argument("--tenant", help="name or id; without it, the platform's own chain")
        parser.add_argument("--from", dest="since", metavar="MOMENT", help="ISO 8601, inclusive")
        parser.add_argument("--to", dest="until", metavar="MOMENT", help="ISO 8601, exclusive")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            whose = tenant_id(options["tenant"])
            since, until = moment(options["since"]), moment(options["until"])
            manifest = _write(options["file"], whose, since, until)
        except (OSError, ValueError) as problem:
            raise CommandError(f"cannot export: {problem}") from None
        counts = "{events} events under {seals} seals".format(**manifest)
        self.stdout.write(f"{options['file']}: {counts}, SHA-256 {manifest['sha256']}")


def _write(file: Path, whose: UUID | None, since: Any, until: Any) -> export_format.Manifest:
    """On record before the first line is; nothing is left of a file that did not become whole."""
    with open(file, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
        try:
            with system_scope():
                span = {"since": str(since or ""), "until": str(until or ""), "form": "jsonl"}
                act(Action.AUDIT_EXPORT, actor=BY, tenant_id=whose, detail=span)
                return export_format.write(out, tenant_id=whose, since=since, until=until)
        except BaseException:
            file.unlink()
            raise
