"""The table of roles, scopes and permissions that the code goes by, read-only."""

from typing import Any

from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.key_scopes import SCOPES, key_permissions
from tenants.models import Scope
from tenants.roles import DUTIES, Permission, Profile, Role, operator_permissions, permissions

P = Permission


class PermissionShape(Shape):
    permission = s.ChoiceField([p.value for p in P])
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
    needs = {"show": P.VIEW_MEMBERS}
    shape = MatrixShape

    def show(self, request: Any, tenant: str) -> Response:
        """Show which roles and scopes hold which permissions in this tenant."""
        profile = self.url_tenant.profile
        lines = [_line(permission, profile) for permission in P]
        return Response({"profile": profile, "permissions": lines})


def _line(permission: P, profile: str) -> dict[str, Any]:
    roles = [role.value for role in Role if permission in permissions(role, profile)]
    roles += ["operator"] if permission in operator_permissions(profile) else []
    scopes = [scope.value for scope in SCOPES if permission in key_permissions([scope], profile)]
    return {
        "permission": permission.value,
        "duty": DUTIES.get(permission),
        "roles": roles,
        "scopes": scopes,
    }
