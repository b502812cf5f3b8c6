"""The audit trail of a tenant: every act and who did it, without prompts and answers."""

from typing import Any

import django_filters as f
from django import forms
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.actions import Action
from audit.models import Event
from audit.proof.proof_state import SealState, proof_state
from audit.search import events
from audit.search.events import BadCursor, Filters
from audit.trail.network import network
from console.api import cursor
from console.api.problem import bad_request
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.roles import Permission as P

Rows = tuple[list[Event], str]  # and the cursor of the next ones
STANDINGS = [(one.name.lower(), one.name.lower()) for one in SealState]


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
        "id": 90210,
        "at": "2026-01-31T08:00:00Z",
        "action": "api_key:create",
        "actor": "member:0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "subject": None,
        "request_id": None,
        "client_net": "192.0.2.0",
        "route": "",
        "model": "",
        "upstream": "",
        "success": True,
        "status": None,
        "error_code": "",
        "response_length": None,
        "processing_ms": None,
        "tokens_in": None,
        "tokens_out": None,
        "detail": {"name": "build server"},
    }


class ProofShape(Shape):
    standing = s.ChoiceField(STANDINGS, help_text="`sealed`: recomputed just now, and it agrees.")
    number = s.IntegerField(allow_null=True, help_text="Number of the event in the tenant's trail.")
    batch = s.IntegerField(allow_null=True)
    sealed_at = s.DateTimeField(allow_null=True)
    checkpoint = s.IntegerField(allow_null=True)
    key_id = s.CharField(allow_null=True, help_text="Id of the key that signed the checkpoint.")


class ProvenEvent(EventShape):
    proof = ProofShape()
    EXAMPLE = {
        **EventShape.EXAMPLE,
        "proof": {
            "standing": "sealed",
            "number": 4711,
            "batch": 12,
            "sealed_at": "2026-01-31T08:00:01Z",
            "checkpoint": 86400,
            "key_id": "9f86d081884c7d659a2feaa0c55ad015",
        },
    }


class StatusFilter(f.NumberFilter):
    field_class = forms.IntegerField


class EventFilter(f.FilterSet):
    action = f.ChoiceFilter(choices=[(action.value, action.value) for action in Action])
    actor = f.CharFilter(max_length=80)
    subject = f.UUIDFilter()
    key = f.UUIDFilter()
    request_id = f.UUIDFilter()
    model = f.CharFilter(max_length=120)
    route = f.CharFilter(max_length=80)
    status = StatusFilter(min_value=0, max_value=999)
    client_ip = f.CharFilter(max_length=45)
    kind = f.ChoiceFilter(choices=[("acts", "acts")])
    outcome = f.ChoiceFilter(choices=[("failed", "failed")])
    since = f.IsoDateTimeFilter()
    until = f.IsoDateTimeFilter()


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
    needs = {"list": P.VIEW_AUDIT, "retrieve": P.VIEW_AUDIT}
    shape = EventShape
    gives = {"retrieve": ProvenEvent}
    asks = {"list": EventFilter}
    orderings = ("-at", "at")

    def list(self, request: Any, tenant: str) -> Response:
        """List the events of a tenant's audit trail.

        A page can have fewer rows than `limit`, or none, and still a `next_cursor`: if matches are
        rare, the next page continues the search.
        """
        question = self.checked_filters(Event.objects.none())
        filters = filters_from(question.form.cleaned_data)
        query = request.GET
        ordering = query.get("ordering", self.orderings[0])
        if ordering not in self.orderings:
            text = _("Choose one of %s.") % ", ".join(self.orderings)
            raise bad_request({"ordering": [text]})
        limit = cursor.limit_of(query.get("limit", str(cursor.USUAL)))
        rows, following = self._rows(filters, query.get("cursor", ""), ordering, limit)
        results = [EventShape(row).data for row in rows]
        return Response({"results": results, "next_cursor": following or None})

    def retrieve(self, request: Any, tenant: str, event: int) -> Response:
        """Show an event and its proof: the seal, and whether it holds."""
        row = self.get_or_404(Event.objects.of_tenant(self.url_tenant.id), pk=event)
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

    def _rows(self, filters: Filters, after: str, ordering: str, limit: int) -> Rows:
        tenant, newer = self.url_tenant.id, ordering == "at"
        start = after or (events.beginning(tenant, filters) if newer else "")
        side = "newer" if newer else "older"
        try:
            page = events.page(tenant, filters, start, limit, side=side)
        except BadCursor:
            text = _("This cursor is not of this list with these filters.")
            raise bad_request({"cursor": [text]}) from None
        return (page.rows[::-1], page.newer) if newer else (page.rows, page.older)
