"""Invitations: links by which people join a tenant, shown once, revocable until they are used."""

from typing import Any
from uuid import UUID

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.people.members import refuse_unless_among
from console.api.problem import Problem, not_found
from console.api.requester import denied
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.models import Link
from tenants.models.link import Purpose
from tenants.roles import Permission as P
from tenants.roles import Role

LONGEST_DAYS = 30


class InvitationShape(Shape):
    id = s.UUIDField()
    email = s.EmailField()
    role = s.ChoiceField(Role.choices)
    created_by = s.CharField(help_text="An actor, as the audit trail writes it.")
    created_at = s.DateTimeField()
    expires_at = s.DateTimeField()
    EXAMPLE = {
        "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "email": "bob@acme.example",
        "role": "developer",
        "created_by": "member:0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "created_at": "2026-01-31T08:00:00Z",
        "expires_at": "2026-02-07T08:00:00Z",
    }


class NewInvitation(Shape):
    email = s.EmailField(max_length=254)
    role = s.ChoiceField(Role.choices)
    days = s.IntegerField(min_value=1, max_value=LONGEST_DAYS, default=7)
    EXAMPLE = {"email": "bob@acme.example", "role": "developer", "days": 7}


class IssuedInvitation(InvitationShape):
    link = s.CharField(help_text="Shown once.")
    EXAMPLE = {**InvitationShape.EXAMPLE, "link": "https://forebay.example/welcome/…/"}


class InvitationFilter(f.FilterSet):
    role = f.ChoiceFilter(choices=Role.choices)
    email = f.CharFilter(lookup_expr="iexact", max_length=254)


class Invitations(Resource):
    needs = {
        "list": P.VIEW_MEMBERS,
        "create": P.MANAGE_MEMBERS,
        "retrieve": P.VIEW_MEMBERS,
        "destroy": P.MANAGE_MEMBERS,
    }
    shape = InvitationShape
    takes = {"create": NewInvitation}
    gives = {"create": IssuedInvitation}
    asks = {"list": InvitationFilter}

    def list(self, request: Any, tenant: str) -> Response:
        """List the invitations that have not been accepted yet."""
        return self.respond_page(self._rows())

    def create(self, request: Any, tenant: str) -> Response:
        """Invite somebody.

        An earlier invitation of the same person stops working. The link is in this answer only.
        Nobody can invite into a role that may do more than their own. This needs a session of the
        console: a key cannot invite.
        """
        fields = self.body()
        if self.who.key:
            raise denied(_("A key invites nobody: a person has to."), "person_needed")
        refuse_unless_among(self.who.roles_to_give(), fields["role"])
        if self.url_tenant.members.filter(user__email=fields["email"].lower()).exists():
            raise Problem(409, "already_member", _("This person is a member already."))
        for earlier in self._rows().filter(email__iexact=fields["email"]):
            refuse_unless_among(self.who.roles_to_give(), earlier.role)  # it is replaced
        link = Link.issue(Purpose.INVITATION, by=self.actor, tenant=self.url_tenant, **fields)
        row = Link.objects.by_token(link.rstrip("/").rpartition("/")[2])
        if row is None:  # the tenant was suspended, or the inviter lost their power, meanwhile
            raise not_found()
        return self.respond(row, 201, link=link)

    def retrieve(self, request: Any, tenant: str, invitation: UUID) -> Response:
        """Show an invitation."""
        return self.respond(self.get_or_404(self._rows(), pk=invitation))

    def destroy(self, request: Any, tenant: str, invitation: UUID) -> Response:
        """Revoke an invitation."""
        row = self.get_for_change(self._rows(), pk=invitation)
        refuse_unless_among(self.who.roles_to_take(), row.role)
        row.revoke(by=self.actor)
        return Response(status=204)

    def _rows(self) -> Any:
        return Link.objects.invitations(self.url_tenant)
