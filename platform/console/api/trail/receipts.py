"""The sealed records of a request, to compare a receipt (`x-audit-receipt`) with."""

from typing import Any
from uuid import UUID

from rest_framework import serializers as s
from rest_framework.response import Response

from audit.proof import inclusion
from console.api.problem import not_found
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.roles import Permission as P


class RecordShape(Shape):
    action = s.CharField()
    at = s.DateTimeField()
    line = s.CharField(help_text="The event as it was hashed.")
    leaf = s.CharField(help_text="SHA-256 of a zero byte and the line, in hex.")
    proof = s.DictField(
        allow_null=True,
        help_text="Proof from the leaf to a signed checkpoint (RFC 6962). Null until it is sealed.",
    )


class InclusionShape(Shape):
    request_id = s.UUIDField()
    records = RecordShape(many=True)
    EXAMPLE = {
        "request_id": "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "records": [
            {
                "action": "completion:received",
                "at": "2026-01-31T08:00:00Z",
                "line": '["forebay-event/1", …]',
                "leaf": "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
                "proof": None,
            }
        ],
    }


class Receipts(Resource):
    needs = {"retrieve": P.VIEW_AUDIT}
    shape = InclusionShape

    def retrieve(self, request: Any, tenant: str, receipt: UUID) -> Response:
        """Show the sealed records of a request."""
        records = inclusion.of_request(self.url_tenant.id, receipt)
        if not records:
            raise not_found()
        return self.respond({"request_id": receipt, "records": records})
