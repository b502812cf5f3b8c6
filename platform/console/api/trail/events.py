"""The audit trail of a tenant: events, and the records that receipts are compared with."""

from typing import Any
from uuid import UUID

import django_filters as f
from django import forms
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.actions import Action
from audit.models import Event
from audit.proof import event_proof
from audit.proof.event_proof import SealState, proof_state
from audit.search import events
from audit.search.events import BadCursor, Filters
from audit.trail.truncated_address import network
from console.api import cursor
from console.api.acts import Act, filters, shape_of
from console.api.problem import bad_request, not_found
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.roles import Permission as P

STANDINGS = [one.name.lower() for one in SealState]


class EventShape(Shape):
    id = s.IntegerField()
    at = s.DateTimeField()
    action = s.CharField()
    actor = s.CharField()
    subject = s.UUIDField(
        source="subject_id",
        allow_null=True,
        help_text="Pseudonym of the person concerned.",
    )
    request_id = s.UUIDField(allow_null=True)
    client_net = s.CharField(allow_null=True, help_text="The address without its last part.")
    route = s.CharField()
    model = s.CharField()
    upstream = s.CharField(help_text="The engine or service that answered.")
    success = s.BooleanField()
    status = s.IntegerField(allow_null=True)
    error_code = s.CharField()
    response_length = s.IntegerField(allow_null=True)
    processing_ms = s.IntegerField(allow_null=True)
    tokens_in = s.IntegerField(allow_null=True)
    tokens_out = s.IntegerField(allow_null=True)
    detail = s.DictField()
    EXAMPLE = {
        "action": "api_key:create",
        "client_net": "192.0.2.0",
        "success": True,
        "detail": {"name": "build server"},
    }


class ProofShape(Shape):
    standing = s.ChoiceField(STANDINGS, help_text="`sealed`: recomputed just now, and it agrees.")
    number = s.IntegerField(allow_null=True, help_text="Number of the event in the tenant's trail.")
    batch = s.IntegerField(allow_null=True)
    sealed_at = s.DateTimeField(allow_null=True)
    checkpoint = s.IntegerField(allow_null=True)
    key_id = s.CharField(allow_null=True, help_text="Id of the key that signed the checkpoint.")
    EXAMPLE = {
        "standing": "sealed",
        "number": 4711,
        "batch": 12,
        "sealed_at": "2026-01-31T08:00:01Z",
        "checkpoint": 86400,
        "key_id": "9f86d081884c7d659a2feaa0c55ad015",
    }


class ProvenEvent(EventShape):
    proof = ProofShape()


class StatusFilter(f.NumberFilter):
    field_class = forms.IntegerField


EventFilter = filters(
    action=f.ChoiceFilter(choices=[(action.value, action.value) for action in Action]),
    actor=f.CharFilter(max_length=80),
    subject=f.UUIDFilter(),
    key=f.UUIDFilter(),
    request_id=f.UUIDFilter(),
    model=f.CharFilter(max_length=120),
    route=f.CharFilter(max_length=80),
    status=StatusFilter(min_value=0, max_value=999),
    client_ip=f.CharFilter(max_length=45),
    kind=f.ChoiceFilter(choices=[("acts", "acts")]),
    outcome=f.ChoiceFilter(choices=[("failed", "failed")]),
    since=f.IsoDateTimeFilter(),
    until=f.IsoDateTimeFilter(),
)


def filters_from(fields: dict[str, Any]) -> Filters:
    """Returns the filters of a search. Raises Problem for a wrong address."""
    net = network(fields["client_ip"]) if fields.get("client_ip") else ""
    if net is None:
        raise bad_request({"client_ip": [_("This is not an IP address.")]})
    return Filters(
        action=fields.get("action") or "",
        actors=(fields["actor"],) if fields.get("actor") else None,
        subject_id=fields.get("subject"),
        api_key_id=fields.get("key"),
        request_id=fields.get("request_id"),
        model=fields.get("model") or "",
        route=fields.get("route") or "",
        status=fields.get("status"),
        net=net,
        acts=fields.get("kind") == "acts",
        failed=fields.get("outcome") == "failed",
        since=fields.get("since"),
        until=fields.get("until"),
    )


class Events(Resource):
    """Serves every act and who did it, without prompts and answers."""

    shape = EventShape
    orderings = ("-at", "at")

    def rows(self) -> Any:
        return Event.objects.of_tenant(self.url_tenant.id)

    @Act(P.VIEW_AUDIT, asks=EventFilter)
    def list(self, request: Any, tenant: str) -> Response:
        """List the events of a tenant's audit trail.

        A page can have fewer rows than `limit`, or none, and still a `next_cursor`: if matches are
        rare, the next page continues the search.
        """
        filters = filters_from(self.checked_filters(Event.objects.none()).form.cleaned_data)
        newer = cursor.ordering_of(request.GET, self.orderings) == "at"
        limit = cursor.limit_of(request.GET)
        start = request.GET.get("cursor", "")
        if newer and not start:
            start = events.beginning(self.url_tenant.id, filters)
        side = "newer" if newer else "older"
        try:
            page = events.page(self.url_tenant.id, filters, start, limit, side=side)
        except BadCursor:
            raise cursor.wrong_list() from None
        rows, following = (page.rows[::-1], page.newer) if newer else (page.rows, page.older)
        results = EventShape(rows, many=True).data
        return Response({"results": results, "next_cursor": following or None})

    @Act(P.VIEW_AUDIT, gives=ProvenEvent)
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show an event and its proof: the seal, and whether it holds."""
        row = self.row()
        state = proof_state(row)
        seal, checkpoint = state.seal, state.checkpoint
        proof = {
            "standing": state.seal_state.name.lower(),
            "number": state.number or None,
            "batch": seal.batch if seal else None,
            "sealed_at": seal.sealed_at if seal else None,
            "checkpoint": seal.checkpoint if seal else None,
            "key_id": checkpoint.key_id if checkpoint else None,
        }
        return self.respond(row, proof=ProofShape(proof).data)


# Receipts (`x-audit-receipt`) --------------------------------------------------------------------
class RecordShape(Shape):
    action = s.CharField()
    at = s.DateTimeField()
    line = s.CharField(help_text="The event as it was hashed.")
    leaf = s.CharField(help_text="SHA-256 of a zero byte and the line, in hex.")
    proof = s.DictField(
        allow_null=True,
        help_text="Proof from the leaf to a signed checkpoint (RFC 6962). Null until it is sealed.",
    )
    EXAMPLE = {
        "action": "completion:received",
        "line": '["forebay-event/1", …]',
        "leaf": "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }


class Receipts(Resource):
    shape = shape_of("Inclusion", request_id=s.UUIDField(), records=RecordShape(many=True))

    @Act(P.VIEW_AUDIT)
    def retrieve(self, request: Any, tenant: str, receipt: UUID) -> Response:
        """Show the sealed records of a request."""
        records = event_proof.of_request(self.url_tenant.id, receipt)
        if not records:
            raise not_found()
        return self.respond({"request_id": receipt, "records": records})
