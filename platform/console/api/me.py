"""Shows the caller, and the table of roles, scopes and permissions that the code goes by."""

from typing import Any

from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who
from console.api.requester import Requester
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.key_scopes import SCOPES, key_permissions
from tenants.models import Member, Scope
from tenants.models.key_permissions import permissions_of
from tenants.operator_scopes import OperatorScope
from tenants.roles import DUTIES, Permission, Profile, Role, operator_permissions, permissions


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
        "name": "build server",
        "scopes": ["management:read"],
        "tenants": [{"tenant": "acme", "role": None, "permissions": ["usage:view"]}],
    }


class Me(Resource):
    shape = MeShape

    @Act(Who.ANYBODY, tuple(OperatorScope))
    def show(self, request: Any) -> Response:
        """Show who you are.

        The key or person that this request is made with, and what it may do in which tenant.
        """
        who = self.who
        key = who.key or who.operator_key
        return Response(
            {
                "actor": who.actor,
                "email": who.user.email if who.user else None,
                "name": key.name if key else who.user and who.user.name,
                "operator": who.is_operator,
                "scopes": key.scopes if key else [],
                "tenants": _places(who),
            }
        )


def _places(who: Requester) -> list[dict[str, Any]]:
    if who.key:
        granted = permissions_of(who.key)
        return [{"tenant": who.key.tenant.name, "role": None, "permissions": sorted(granted)}]
    members = Member.objects.of(who.user).order_by("tenant__name") if who.user else ()
    return [
        {"tenant": m.tenant.name, "role": m.role, "permissions": sorted(m.permissions)}
        for m in members
    ]


class PermissionShape(Shape):
    permission = s.ChoiceField([p.value for p in Permission])
    duty = s.CharField(allow_null=True, help_text="Kept apart under the profile mlps-l3.")
    roles = s.ListField(child=s.ChoiceField([*Role.values, "operator"]))
    scopes = s.ListField(child=s.ChoiceField(Scope.values), help_text="Scopes that include it.")


class MatrixShape(Shape):
    profile = s.ChoiceField(Profile.choices)
    permissions = PermissionShape(many=True)
    EXAMPLE = {
        "profile": "asvs-5",
        "permissions": [
            {
                "permission": "usage:view",
                "duty": None,
                "roles": ["owner", "admin", "developer", "auditor", "operator"],
                "scopes": ["management:read"],
            }
        ],
    }


class Roles(Resource):
    shape = MatrixShape

    @Act(Permission.VIEW_MEMBERS)
    def show(self, request: Any, tenant: str) -> Response:
        """Show which roles and scopes hold which permissions in this tenant."""
        profile = self.url_tenant.profile
        lines = [_line(permission, profile) for permission in Permission]
        return Response({"profile": profile, "permissions": lines})


def _line(permission: Permission, profile: str) -> dict[str, Any]:
    roles = [role.value for role in Role if permission in permissions(role, profile)]
    roles += ["operator"] if permission in operator_permissions(profile) else []
    scopes = [scope.value for scope in SCOPES if permission in key_permissions([scope], profile)]
    return {
        "permission": permission.value,
        "duty": DUTIES.get(permission),
        "roles": roles,
        "scopes": scopes,
    }
