"""`manage.py compliance_report`: the signed report of the compliance page, to a file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import override

from audit.actions import Action
from audit.trail.record import act
from console.compliance import report, runs, signed_report
from console.compliance.clause import REGIMES
from console.compliance.overview import overview_of
from tenants.management.options import tenant_named
from tenants.models import Tenant
from tenants.scope import system_scope

BY = "command:compliance_report"


class Command(BaseCommand):
    help = "Writes the signed compliance report, of the platform or of one tenant."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="report.json or report.html")
        parser.add_argument("--tenant", default="", help="its name; without: the whole platform")
        parser.add_argument("--regime", default="", choices=["", *REGIMES])
        parser.add_argument("--language", default="en", choices=["en", "zh-hans"])
        parser.add_argument("--run", action="store_true", help="run the checks first")

    def handle(self, *args: Any, **options: Any) -> None:
        with system_scope():
            tenant = tenant_named(options["tenant"]) if options["tenant"] else None
            if options["run"]:
                _run(tenant)
            state = overview_of(tenant, options["regime"])
            document = report.make(state, tenant, options["regime"], by=BY)
            blockers = document["body"]["blockers"]
            detail = {"sha256": signed_report.sha256_of(document), "blockers": blockers}
            tenant_id = tenant.id if tenant else None
            act(Action.COMPLIANCE_REPORT, actor=BY, tenant_id=tenant_id, detail=detail)
            with override(options["language"]):
                file: Path = options["file"]
                html = file.suffix == ".html"
                text = report.as_html(document, state) if html else signed_report.as_json(document)
                file.write_bytes(text)
        self.stdout.write(f"{file}: {len(state.lines)} clauses, {len(state.blockers)} problems")


def _run(tenant: Tenant | None) -> None:
    if tenant is None:
        runs.run_for_platform()
        return
    runs.run_general_if_old()
    runs.run_for_tenant(tenant)
