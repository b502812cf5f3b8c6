"""People of a tenant: members, the invitations by which they join, and teams."""

from collections.abc import Collection
from typing import Any

import django_filters as f
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.retention.legal_hold import OnHold
from console.api.acts import Act, filters, listing, shape_of, showing
from console.api.problem import Problem, denied, first_or_404, not_found
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from console.people.members import LAST_OWNER, ON_HOLD
from tenants.models import Link, Member, Team, TeamMembership
from tenants.models.link import Purpose
from tenants.models.member import LastOwner
from tenants.models.quotas.quota import SetByPlatform
from tenants.notices.links import mail_link
from tenants.roles import Permission as P
from tenants.roles import Role, permissions

LONGEST_DAYS = 30


def refuse_unless_among(roles: Collection[Role], role: str) -> None:
    """Raises Problem if the role is none of these."""
    if Role(role) not in roles:
        raise denied(_("You can neither give nor take the role %s.") % role)


# Members -----------------------------------------------------------------------------------------
class MemberShape(Row):
    email = s.EmailField(source="user.email")
    name = s.CharField(source="user.name")
    role = s.ChoiceField(Role.choices)
    EXAMPLE = {"name": "Bob", "role": "developer"}


class Members(Resource):
    shape = MemberShape
    refusals = {
        LastOwner: (409, "last_owner", LAST_OWNER),
        OnHold: (409, "on_hold", ON_HOLD),
    }

    def rows(self) -> Any:
        return self.url_tenant.members.select_related("user", "tenant")

    list = listing(
        P.VIEW_MEMBERS,
        "List a tenant's members.",
        asks=filters(
            role=f.ChoiceFilter(choices=Role.choices),
            email=f.CharFilter(field_name="user__email", lookup_expr="iexact", max_length=254),
            team=f.UUIDFilter(field_name="team_memberships__team"),
        ),
    )
    retrieve = showing(P.VIEW_MEMBERS, "Show a member.")

    @Act(P.MANAGE_MEMBERS, takes=shape_of("MemberChange", role=s.ChoiceField(Role.choices)))
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Change a member's role.

        Nobody can give or take a role that may do more than their own. A key can only turn
        developers into members. Nobody can raise their own role.
        """
        fields = self.body()
        row = self._member_to_change()
        if "role" in fields:
            self._check_new_role(row, fields["role"])
            self._refuse_escalation(row, fields["role"])
            row.change_role(Role(fields["role"]), by=self.actor)
        return self.respond(row)

    @Act(P.MANAGE_MEMBERS)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Remove a member."""
        self._member_to_change().remove(by=self.actor)
        return Response(status=204)

    def _member_to_change(self) -> Member:
        row: Member = self.row_to_change()
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


# Invitations: links that are shown once, revocable until they are used ---------------------------
class InvitationShape(Row):
    email = s.EmailField()
    role = s.ChoiceField(Role.choices)
    created_by = s.CharField(help_text="An actor, as the audit trail writes it.")
    expires_at = s.DateTimeField()


class NewInvitation(Shape):
    email = s.EmailField(max_length=254)
    role = s.ChoiceField(Role.choices)
    days = s.IntegerField(min_value=1, max_value=LONGEST_DAYS, default=7)
    EXAMPLE = {"role": "developer", "days": 7}


class IssuedInvitation(InvitationShape):
    link = s.CharField(help_text="Shown once.")
    EXAMPLE = {"link": "https://forebay.example/welcome/…/"}


class Invitations(Resource):
    shape = InvitationShape

    def rows(self) -> Any:
        return Link.objects.invitations(self.url_tenant)

    list = listing(
        P.VIEW_MEMBERS,
        "List the invitations that have not been accepted yet.",
        asks=filters(
            role=f.ChoiceFilter(choices=Role.choices),
            email=f.CharFilter(lookup_expr="iexact", max_length=254),
        ),
    )
    retrieve = showing(P.VIEW_MEMBERS, "Show an invitation.")

    @Act(P.MANAGE_MEMBERS, takes=NewInvitation, gives=IssuedInvitation)
    def create(self, request: Any, **path: Any) -> Response:
        """Invite somebody.

        An earlier invitation of the same person stops working. The link is in this answer, and
        goes to the person by mail where the platform has a mail server.
        Nobody can invite into a role that may do more than their own. This needs a session of the
        console: a key cannot invite.
        """
        fields = self.body()
        if self.who.key:
            raise denied(_("A key cannot invite people: sign in to the console."), "person_needed")
        refuse_unless_among(self.who.roles_to_give(), fields["role"])
        if self.url_tenant.members.filter(user__email=fields["email"].lower()).exists():
            raise Problem(409, "already_member", _("This person is a member already."))
        for earlier in self.rows().filter(email__iexact=fields["email"]):
            refuse_unless_among(self.who.roles_to_give(), earlier.role)  # it is replaced
        link = Link.issue(Purpose.INVITATION, by=self.actor, tenant=self.url_tenant, **fields)
        mail_link(link)
        row = Link.objects.by_token(link.rstrip("/").rpartition("/")[2])
        if row is None:  # the tenant was suspended, or the inviter lost their power, meanwhile
            raise not_found()
        return self.respond(row, 201, link=link)

    @Act(P.MANAGE_MEMBERS)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Revoke an invitation."""
        row = self.row_to_change()
        refuse_unless_among(self.who.roles_to_take(), row.role)
        row.revoke(by=self.actor)
        return Response(status=204)


# Teams -------------------------------------------------------------------------------------------
class TeamShape(Row):
    name = s.CharField()
    temporary_chats = s.BooleanField(help_text="Every chat of its members is temporary.")
    EXAMPLE = {"name": "search", "temporary_chats": False}


NamedTeam = shape_of("NamedTeam", name=s.CharField(max_length=80))
TeamChange = shape_of(
    "TeamChange",
    name=s.CharField(max_length=80),
    temporary_chats=s.BooleanField(required=False),
)


class Teams(Resource):
    shape = TeamShape
    orderings = ("name", "-name", "created_at", "-created_at")

    def rows(self) -> Any:
        return self.url_tenant.teams.all()

    list = listing(
        P.VIEW_TEAMS,
        "List a tenant's teams.",
        asks=filters(
            name=f.CharFilter(lookup_expr="icontains", max_length=80),
            member=f.UUIDFilter(field_name="memberships__member"),
        ),
    )
    retrieve = showing(P.VIEW_TEAMS, "Show a team.")
    refusals = {
        SetByPlatform: (
            403,
            "set_by_platform",
            _("The platform has set this quota: ask for an increase."),
        )
    }

    @Act(P.MANAGE_TEAMS, takes=NamedTeam)
    def create(self, request: Any, **path: Any) -> Response:
        """Create a team."""
        return self.respond(Team.form(self.url_tenant, self.body()["name"], by=self.actor), 201)

    @Act(P.MANAGE_TEAMS, takes=TeamChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Rename a team, or decide whether all chats of its members are temporary."""
        fields = self.body()
        row = self.row_to_change()
        row.change(by=self.actor, **fields)
        return self.respond(row)

    @Act(P.MANAGE_TEAMS)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Delete a team.

        Its keys stay, without a team; its grants and budgets are gone. A key cannot delete a team
        whose budget binds it, and only operators delete one with a budget of the platform's.
        """
        row: Team = self.row_to_change()
        key = self.who.key
        if key and any(budget.binds(key) for budget in row.quotas.all()):
            raise denied(_("A key does not change itself."))
        row.disband(by=self.actor, platform=self.who.is_operator)
        return Response(status=204)


class TeamMembershipShape(Shape):
    member = s.UUIDField(source="member_id")
    email = s.EmailField(source="member.user.email")
    created_at = s.DateTimeField()


class Places(Resource):
    shape = TeamMembershipShape
    lookup_field = "member"

    def rows(self) -> Any:
        return TeamMembership.objects.filter(team=self._team()).select_related("member__user")

    def _team(self) -> Team:
        return first_or_404(self.url_tenant.teams.filter(pk=self.kwargs["team"]))

    list = listing(P.VIEW_TEAMS, "List the members of a team.")
    retrieve = showing(P.VIEW_TEAMS, "Show a member's membership of a team.")

    @Act(P.MANAGE_TEAMS, takes=shape_of("NewPlace", member=s.UUIDField()))
    def create(self, request: Any, **path: Any) -> Response:
        """Add a member to a team.

        Adding a member of the team changes nothing.
        """
        team = self._team()
        text = _("There is no such member in this tenant.")
        member = self.named(self.url_tenant.members, "member", text, pk=self.body()["member"])
        team.add(member, by=self.actor)
        return self.respond(self.rows().get(member=member), 201, at=member.pk)

    @Act(P.MANAGE_TEAMS)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Remove a member from a team."""
        self._team().take_out(self.row_to_change().member, by=self.actor)
        return Response(status=204)
