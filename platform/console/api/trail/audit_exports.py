"""Exports of the audit trail: made by a job, stored encrypted, deleted when they expire."""

from typing import Any

from django.http import HttpResponseBase
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.actions import Action
from audit.exports import export_file, trail_export
from audit.keys.keyring import Unreadable
from audit.models import Export
from console import downloads
from console.account.reauthentication import is_proven
from console.api.acts import Act, listing, showing
from console.api.problem import not_found
from console.api.requester import proof_needed
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from console.api.trail.events import filters_from
from tenants.roles import Permission as P


class ExportShape(Row):
    form = s.ChoiceField([*trail_export.FORMS], source="asked.form")
    state = s.ChoiceField((export_file.MAKING, export_file.READY, export_file.FAILED))
    percent = s.IntegerField(source="asked.percent", default=0)
    events = s.IntegerField(source="rows")
    bytes = s.IntegerField()
    sha256 = s.CharField(help_text="SHA-256 of the file; empty until it is ready.")
    problem = s.CharField()
    actor = s.CharField()
    asked = s.DictField(help_text="The filter of the export.")
    verified = s.DictField(
        source="asked.verified",
        default=None,
        allow_null=True,
        help_text="What its verification says, if that was asked for; `ok` is true or false.",
    )
    expires_at = s.DateTimeField()
    EXAMPLE = {
        "form": "jsonl",
        "state": "ready",
        "percent": 100,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "asked": {"form": "jsonl", "since": "2026-01-01T00:00:00+00:00"},
        "verified": {"ok": True, "events": 120, "checkpoints": 3, "found": 0, "findings": []},
    }


class NewExport(Shape):
    form = s.ChoiceField(
        [*trail_export.FORMS], help_text="`jsonl` has proofs and verifies offline."
    )
    action = s.ChoiceField([action.value for action in Action], required=False)
    actor = s.CharField(max_length=80, required=False)
    subject = s.UUIDField(required=False)
    key = s.UUIDField(required=False)
    request_id = s.UUIDField(required=False)
    model = s.CharField(max_length=120, required=False)
    route = s.CharField(max_length=80, required=False)
    status = s.IntegerField(min_value=0, max_value=999, required=False)
    client_ip = s.CharField(max_length=45, required=False)
    since = s.DateTimeField(required=False)
    until = s.DateTimeField(required=False)
    verify = s.BooleanField(
        required=False, help_text="Verify it when it is made, as an auditor would. For `jsonl`."
    )
    EXAMPLE = {"form": "jsonl", "since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}


class AuditExports(Resource):
    shape = ExportShape
    volatile = ("state", "percent", "events", "bytes", "sha256", "problem", "asked", "verified")

    def rows(self) -> Any:
        return Export.objects.filter(tenant_id=self.url_tenant.id, kind=trail_export.KIND)

    list = listing(P.EXPORT_AUDIT, "List the exports, finished or not.")
    retrieve = showing(P.EXPORT_AUDIT, "Show the progress of an export.")

    @Act(P.EXPORT_AUDIT, takes=NewExport)
    def create(self, request: Any, tenant: str) -> Response:
        """Start an export of the audit trail.

        This is on record. A job makes the file: poll until its state is `ready`.
        """
        fields = self.body()
        form, verify = fields.pop("form"), fields.pop("verify", False)
        filters = filters_from(fields)
        export = trail_export.ask(self.url_tenant.id, filters, form, by=self.actor, verify=verify)
        return self.respond(export, 201)

    @Act(P.EXPORT_AUDIT)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Delete an export before it expires."""
        trail_export.drop(self.row_to_change(), by=self.actor)
        return Response(status=204)

    @Act(P.EXPORT_AUDIT, files=("application/x-ndjson", "text/csv"))
    def file(self, request: Any, **path: Any) -> HttpResponseBase:
        """Download an export.

        This is on record. People must have confirmed their identity within the last ten minutes.
        """
        export: Export = self.row()
        if self.who.user and not is_proven(request._request):
            raise proof_needed()
        try:
            pieces = trail_export.download(export, by=self.actor)
        except (FileNotFoundError, Unreadable):
            raise not_found() from None
        kind = trail_export.FORMS[export.asked["form"]]
        name = trail_export.file_name(export, self.url_tenant.name)
        return downloads.stream(pieces, self.scope, name, kind)
