import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from audit.keys import signing
from audit.offline import forebay_verify
from audit.verification.verify import VerificationRange, VerificationReport, open_trail, verify
from audit.witnesses.delivery import configured, from_file
from tenants.management.options import moment, tenant_id

FINDINGS, CANNOT_RUN = 1, 2  # 0: all is as it was written


class Command(BaseCommand):
    help = (
        "Verifies the audit trail, or an export of it: events, seals, signatures, texts, "
        "witnesses. Ends with 0 when all is as it was written, 1 with findings, 2 if it cannot run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", help="name or id of one; without it, everything")
        parser.add_argument("--from", dest="since", metavar="MOMENT", help="ISO 8601, inclusive")
        parser.add_argument("--to", dest="until", metavar="MOMENT", help="ISO 8601, exclusive")
        parser.add_argument("--export", metavar="FILE", help="an export instead of the database")
        parser.add_argument(
            "--witness",
            action="append",
            metavar="FILE",
            help="what a witness has heard; without it, the files that are configured, but of an "
            "export none",
        )
        parser.add_argument(
            "--public-key",
            action="append",
            default=[],
            help="base64, beside ours and those in FOREBAY_AUDIT_PUBLIC_KEYS_OLD; "
            "with --export instead of them",
        )
        parser.add_argument("--no-texts", dest="texts", action="store_false")
        parser.add_argument(
            "--processes", type=int, help="at most; without it as many as cores, up to 4"
        )
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, **options: Any) -> None:
        try:
            ok = self._export(**options) if options["export"] else self._trail(**options)
        except (OSError, ValueError, psycopg.Error, Error) as problem:
            raise CommandError(f"cannot verify: {problem}", returncode=CANNOT_RUN) from None
        if not ok:
            raise SystemExit(FINDINGS)

    def _trail(self, **options: Any) -> bool:
        span = VerificationRange(
            tenant_id(options["tenant"]), moment(options["since"]), moment(options["until"])
        )
        files = options["witness"]
        witnesses = configured() if files is None else [from_file(Path(name)) for name in files]
        with open_trail() as connection:
            report = verify(
                connection,
                span,
                keys=[_key(text) for text in options["public_key"]],
                witnesses=witnesses,
                texts=options["texts"],
                processes=options["processes"],
            )
        lines = [json.dumps(report.as_json())] if options["json"] else _summary(report)
        self.stdout.write("\n".join(map(forebay_verify.printable, lines)))
        return report.ok

    def _export(self, **options: Any) -> bool:
        keys = list(map(_key, options["public_key"])) or list(signing.trusted().values())
        witnesses = [Path(name) for name in options["witness"] or ()]
        result = forebay_verify.verify_export(Path(options["export"]), keys, witnesses)
        self.stdout.write(json.dumps(result.as_json()) if options["json"] else str(result))
        return result.ok


def _summary(report: VerificationReport) -> Iterator[str]:
    figures = {"sealed": 0, "seals": 0, "checkpoints": 0, **report.figures}
    yield (
        "{sealed} events under {seals} seals and {checkpoints} checkpoints".format(**figures)
        + f" looked at in {report.took_s:.1f} s"
    )
    words = {
        "waiting": "wait for their seal",
        "pruned": "went with their months",
        "texts_erased": "lost their text to an erasure",
        "texts_pruned": "lost their text to their tenant's retention",
        "data_keys": "keys under texts were tried",
        "witnessed": "checkpoints were heard by witnesses",
    }
    yield from (f"  {figures[name]} {word}" for name, word in words.items() if figures.get(name))
    yield from (f"  note: {note}" for note in report.notes)
    yield from (f"FOUND {finding.kind}: {finding.text}" for finding in report.findings)
    if report.found > len(report.findings):
        yield f"… and {report.found - len(report.findings)} more"
    yield "All is as it was written." if report.ok else f"{report.found} findings."


def _key(text: str) -> bytes:
    key = base64.b64decode(text, validate=True)
    if len(key) != 32:
        raise ValueError("a public key is 32 bytes in base64")
    return key
