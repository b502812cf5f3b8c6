"""`manage.py audit_export`: writes a complete, signed export of one chain of the trail."""

import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actions import Action
from audit.exports import export_format
from audit.models import Seal
from audit.trail.record import act
from tenants.management.options import moment, tenant_id
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
            owner_id = tenant_id(options["tenant"])
            since, until = moment(options["since"]), moment(options["until"])
            _refuse(owner_id, since, until)
            manifest = _write(options["file"], owner_id, since, until)
        except (OSError, ValueError) as problem:
            raise CommandError(f"cannot export: {problem}") from None
        counts = "{events} events under {seals} seals".format(**manifest)
        self.stdout.write(f"{options['file']}: {counts}, SHA-256 {manifest['sha256']}")


def _refuse(owner_id: UUID | None, since: datetime | None, until: datetime | None) -> None:
    """Raises ValueError for an empty time range, or a tenant without seals."""
    if since and until and since >= until:
        raise ValueError("the time ends before it begins")
    with system_scope():
        if owner_id and not Seal.objects.of_tenant(owner_id).exists():
            raise ValueError("nothing of this tenant is under seal: is the id right?")


def _write(file: Path, owner_id: UUID | None, since: Any, until: Any) -> export_format.Manifest:
    """Writes the export, after recording it.

    The file gets its name only when it is complete and on disk.
    """
    if file.exists():
        raise FileExistsError(f"{file} exists")
    with system_scope():
        span = {"since": str(since or ""), "until": str(until or ""), "form": "jsonl"}
        act(Action.AUDIT_EXPORT, actor=BY, tenant_id=owner_id, detail=span)
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            manifest = export_format.write(out, tenant_id=owner_id, since=since, until=until)
            out.flush()
            os.fsync(out.fileno())
        os.link(part, file)  # like mode `x`, this never replaces an existing file
    finally:
        part.unlink(missing_ok=True)
    return manifest
