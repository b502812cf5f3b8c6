"""Members of a tenant and their roles."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.retention.legal_hold import OnHold
from console.api.problem import Problem
from console.api.requester import denied
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.models import Member
from tenants.models.member import LastOwner
from tenants.roles import Permission as P
from tenants.roles import Role, permissions


class MemberShape(Shape):
    id = s.UUIDField()
    email = s.EmailField(source="user.email")
    name = s.CharField(source="user.name")
    role = s.ChoiceField(Role.choices)
    created_at = s.DateTimeField()
    EXAMPLE = {
        "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "email": "bob@acme.example",
        "name": "Bob",
        "role": "developer",
        "created_at": "2026-01-31T08:00:00Z",
    }


class MemberChange(Shape):
    role = s.ChoiceField(Role.choices)
    EXAMPLE = {"role": "auditor"}


class MemberFilter(f.FilterSet):
    role = f.ChoiceFilter(choices=Role.choices)
    email = f.CharFilter(field_name="user__email", lookup_expr="iexact", max_length=254)
    team = f.UUIDFilter(field_name="team_memberships__team")


class Members(Resource):
    needs = {
        "list": P.VIEW_MEMBERS,
        "retrieve": P.VIEW_MEMBERS,
        "partial_update": P.MANAGE_MEMBERS,
        "destroy": P.MANAGE_MEMBERS,
    }
    shape = MemberShape
    takes = {"partial_update": MemberChange}
    asks = {"list": MemberFilter}

    def list(self, request: Any, tenant: str) -> Response:
        """List a tenant's members."""
        return self.respond_page(self._rows())

    def retrieve(self, request: Any, tenant: str, member: UUID) -> Response:
        """Show a member."""
        return self.respond(self.get_or_404(self._rows(), pk=member))

    def partial_update(self, request: Any, tenant: str, member: UUID) -> Response:
        """Change a member's role.

        Nobody can give or take a role that may do more than their own. A key can only turn
        developers into members. Nobody can raise their own role.
        """
        fields = self.body()
        row = self._member_to_change(member)
        if "role" in fields:
            self._check_new_role(row, fields["role"])
            self._refuse_escalation(row, fields["role"])
            with _conflicts_explained():
                row.change_role(Role(fields["role"]), by=self.actor)
        return self.respond(row)

    def destroy(self, request: Any, tenant: str, member: UUID) -> Response:
        """Remove a member."""
        with _conflicts_explained():
            self._member_to_change(member).remove(by=self.actor)
        return Response(status=204)

    def _member_to_change(self, member: UUID) -> Member:
        row: Member = self.get_for_change(self._rows(), pk=member)
        refuse_unless_among(self.who.roles_to_take(), row.role)
        return row

    def _check_new_role(self, member: Member, role: str) -> None:
        """Raises Problem. A key may lower a role, as it may remove the member."""
        profile = self.url_tenant.profile
        lowers = permissions(role, profile) <= permissions(member.role, profile)
        roles = self.who.roles_to_take() if self.who.key and lowers else self.who.roles_to_give()
        refuse_unless_among(roles, role)

    def _refuse_escalation(self, member: Member, role: str) -> None:
        """Refuses members who would gain permissions themselves. Raises Problem."""
        gained = permissions(role, self.url_tenant.profile) - self.who.permissions
        if self.who.member and self.who.member.pk == member.pk and gained:
            raise denied(_("You cannot raise your own role. Ask another owner."))

    def _rows(self) -> Any:
        return self.url_tenant.members.select_related("user", "tenant")


def refuse_unless_among(roles: Collection[Role], role: str) -> None:
    """Raises Problem if the role is none of these."""
    if Role(role) not in roles:
        raise denied(_("You can neither give nor take the role %s.") % role)


class _conflicts_explained:
    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, problem: Any, trace: Any) -> None:
        if isinstance(problem, LastOwner):
            text = _("A tenant keeps at least one owner. Invite another one first.")
            raise Problem(409, "last_owner", text) from None
        if isinstance(problem, OnHold):
            text = _("A legal hold keeps what they wrote: they stay until it ends.")
            raise Problem(409, "on_hold", text) from None
