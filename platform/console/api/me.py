"""Shows the key or person that a request is made with."""

from typing import Any

from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.requester import Requester
from console.api.resource import Resource, Who
from console.api.strict_input import Shape
from tenants.models import Member, OperatorKey
from tenants.models.key_powers import permissions_of
from tenants.operator_scopes import OperatorScope
from tenants.roles import Permission


class PlaceShape(Shape):
    tenant = s.CharField()
    role = s.CharField(allow_null=True, help_text="Null for a key.")
    permissions = s.ListField(child=s.ChoiceField([p.value for p in Permission]))


class MeShape(Shape):
    actor = s.CharField(help_text="As the audit trail writes it.")
    email = s.EmailField(allow_null=True)
    name = s.CharField()
    operator = s.BooleanField()
    scopes = s.ListField(child=s.CharField(), help_text="The scopes of a key.")
    tenants = PlaceShape(many=True)
    EXAMPLE = {
        "actor": "key:0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "email": None,
        "name": "build server",
        "operator": False,
        "scopes": ["management:read"],
        "tenants": [{"tenant": "acme", "role": None, "permissions": ["usage:view"]}],
    }


class Me(Resource):
    needs = {"show": Who.ANYBODY}
    operator_scopes = {"show": tuple(OperatorScope)}
    shape = MeShape

    def show(self, request: Any) -> Response:
        """Show who you are.

        The key or person that this request is made with, and what it may do in which tenant.
        """
        if self.who.operator_key:
            return Response(_of_operator_key(self.who.operator_key))
        return Response(_of_key(self.who) if self.who.key else _of_person(self.who))


def _of_operator_key(key: OperatorKey) -> dict[str, Any]:
    who = {"actor": key.actor, "email": None, "name": key.name, "operator": False}
    return who | {"scopes": key.scopes, "tenants": []}


def _of_key(who: Requester) -> dict[str, Any]:
    assert who.key
    granted = permissions_of(who.key)
    place = {"tenant": who.key.tenant.name, "role": None, "permissions": sorted(granted)}
    body = {"actor": who.actor, "email": None, "name": who.key.name, "operator": False}
    return body | {"scopes": who.key.scopes, "tenants": [place]}


def _of_person(who: Requester) -> dict[str, Any]:
    assert who.user
    members = Member.objects.of(who.user).order_by("tenant__name")
    places = [
        {"tenant": m.tenant.name, "role": m.role, "permissions": sorted(m.permissions)}
        for m in members
    ]
    body = {"actor": who.actor, "email": who.user.email, "name": who.user.name}
    return body | {"operator": who.is_operator, "scopes": [], "tenants": places}
