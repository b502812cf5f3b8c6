from pathlib import Path
from typing import Any

import psycopg
from django.core.management import BaseCommand, CommandError, CommandParser

from audit.checks.resume_after_restore import RestoredTrailBroken, Resumed, resume


class Command(BaseCommand):
    help = (
        "After a restore: verifies what is there, has sealing go on from exactly there, and puts "
        "on record that there was a restore and which checkpoints it lost "
        "(docs/deployment-database.md)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--after-restore", action="store_true", required=True, help="that there was one"
        )
        parser.add_argument("--witness", type=Path, metavar="FILE", help="what a witness has heard")
        parser.add_argument(
            "--despite-findings",
            action="store_true",
            help="go on where the verification finds something; their number goes on record",
        )

    def handle(self, *, witness: Path | None, despite_findings: bool, **_options: Any) -> None:
        try:
            resumed = resume(witness, despite_findings=despite_findings)
        except RestoredTrailBroken as problem:
            for finding in problem.report.findings:
                self.stdout.write(f"FOUND {finding.kind}: {finding.text}")
            raise CommandError(
                f"{problem}: nothing was changed. Restore another backup, or say "
                "--despite-findings: they stay on record"
            ) from None
        except (OSError, psycopg.Error) as problem:
            raise CommandError(f"cannot resume: {problem}", returncode=2) from None
        self.stdout.write(_summary(resumed))


def _summary(resumed: Resumed) -> str:
    cause = {
        "SetBack": "The count of transactions began anew",
        "MarkLost": "The sealer's mark was lost",
    }.get(resumed.why, "Nothing kept the sealer from going on")
    return (
        f"{cause}; {resumed.sealed} events of before came under seal now. Checkpoint "
        f"{resumed.checkpoint} is the last one of before; "
        f"a witness knows {len(resumed.lost)} after it."
    )
