"""Teams and their members."""

from typing import Any
from uuid import UUID

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import bad_request
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.models import Team, TeamMembership
from tenants.roles import Permission as P


class TeamShape(Shape):
    id = s.UUIDField()
    name = s.CharField()
    created_at = s.DateTimeField()
    EXAMPLE = {
        "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "name": "search",
        "created_at": "2026-01-31T08:00:00Z",
    }


class NamedTeam(Shape):
    name = s.CharField(max_length=80)
    EXAMPLE = {"name": "search"}


class TeamFilter(f.FilterSet):
    name = f.CharFilter(lookup_expr="icontains", max_length=80)
    member = f.UUIDFilter(field_name="memberships__member")


class Teams(Resource):
    needs = {
        "list": P.VIEW_TEAMS,
        "create": P.MANAGE_TEAMS,
        "retrieve": P.VIEW_TEAMS,
        "partial_update": P.MANAGE_TEAMS,
        "destroy": P.MANAGE_TEAMS,
    }
    shape = TeamShape
    takes = {"create": NamedTeam, "partial_update": NamedTeam}
    asks = {"list": TeamFilter}
    orderings = ("name", "-name", "created_at", "-created_at")

    def list(self, request: Any, tenant: str) -> Response:
        """List a tenant's teams."""
        return self.respond_page(self.url_tenant.teams.all())

    def create(self, request: Any, tenant: str) -> Response:
        """Create a team."""
        return self.respond(Team.form(self.url_tenant, self.body()["name"], by=self.actor), 201)

    def retrieve(self, request: Any, tenant: str, team: UUID) -> Response:
        """Show a team."""
        return self.respond(self.get_or_404(self.url_tenant.teams.all(), pk=team))

    def partial_update(self, request: Any, tenant: str, team: UUID) -> Response:
        """Rename a team."""
        fields = self.body()
        row = self.get_for_change(self.url_tenant.teams.all(), pk=team)
        if "name" in fields:
            row.rename(fields["name"], by=self.actor)
        return self.respond(row)

    def destroy(self, request: Any, tenant: str, team: UUID) -> Response:
        """Delete a team.

        Its keys stay, without a team; its grants are gone.
        """
        self.get_for_change(self.url_tenant.teams.all(), pk=team).disband(by=self.actor)
        return Response(status=204)


class TeamMembershipShape(Shape):
    member = s.UUIDField(source="member_id")
    email = s.EmailField(source="member.user.email")
    created_at = s.DateTimeField()
    EXAMPLE = {
        "member": "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "email": "bob@acme.example",
        "created_at": "2026-01-31T08:00:00Z",
    }


class NewPlace(Shape):
    member = s.UUIDField()
    EXAMPLE = {"member": "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e"}


class Places(Resource):
    needs = {
        "list": P.VIEW_TEAMS,
        "create": P.MANAGE_TEAMS,
        "retrieve": P.VIEW_TEAMS,
        "destroy": P.MANAGE_TEAMS,
    }
    shape = TeamMembershipShape
    takes = {"create": NewPlace}

    def list(self, request: Any, tenant: str, team: UUID) -> Response:
        """List the members of a team."""
        return self.respond_page(self._rows(team))

    def create(self, request: Any, tenant: str, team: UUID) -> Response:
        """Add a member to a team.

        Adding a member of the team changes nothing.
        """
        row = self._team(team)
        member = self.url_tenant.members.filter(pk=self.body()["member"]).first()
        if member is None:
            raise bad_request({"member": [_("There is no such member in this tenant.")]})
        row.add(member, by=self.actor)
        return self.respond(self.get_or_404(self._rows(team), member=member), 201, at=member.pk)

    def retrieve(self, request: Any, tenant: str, team: UUID, member: UUID) -> Response:
        """Show a member's membership of a team."""
        return self.respond(self.get_or_404(self._rows(team), member=member))

    def destroy(self, request: Any, tenant: str, team: UUID, member: UUID) -> Response:
        """Remove a member from a team."""
        membership = self.get_for_change(self._rows(team), member=member)
        self._team(team).take_out(membership.member, by=self.actor)
        return Response(status=204)

    def _team(self, team: UUID) -> Team:
        row: Team = self.get_or_404(self.url_tenant.teams.all(), pk=team)
        return row

    def _rows(self, team: UUID) -> Any:
        return TeamMembership.objects.filter(team=self._team(team)).select_related("member__user")
