"""The audit trail of a tenant: who did what. Never a text that was asked or answered."""

from typing import Any

import django_filters as f
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.actions import Action
from audit.models import Event
from console.api.resource import Resource
from console.api.strict import Shape
from tenants.roles import Permission as P


class EventShape(Shape):
    id = s.IntegerField()
    at = s.DateTimeField()
    action = s.CharField()
    actor = s.CharField()
    request_id = s.UUIDField(allow_null=True)
    client_net = s.CharField(allow_null=True, help_text="The address without its last part.")
    route = s.CharField()
    model = s.CharField()
    success = s.BooleanField()
    status = s.IntegerField(allow_null=True)
    error_code = s.CharField()
    detail = s.DictField()
    EXAMPLE = {
        "id": 90210,
        "at": "2026-01-31T08:00:00Z",
        "action": "api_key:create",
        "actor": "member:0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "request_id": None,
        "client_net": "192.0.2.0",
        "route": "",
        "model": "",
        "success": True,
        "status": None,
        "error_code": "",
        "detail": {"name": "build server"},
    }


class EventFilter(f.FilterSet):
    action = f.ChoiceFilter(choices=[(action.value, action.value) for action in Action])
    actor = f.CharFilter(max_length=80)
    request_id = f.UUIDFilter()
    since = f.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = f.IsoDateTimeFilter(field_name="at", lookup_expr="lt")


class Events(Resource):
    needs = {"list": P.VIEW_AUDIT}
    shape = EventShape
    asks = {"list": EventFilter}
    orderings = ("-at", "at")

    def list(self, request: Any, tenant: str) -> Response:
        """List what is on a tenant's record."""
        return self.listed(Event.objects.of_tenant(self.inside.id))
