"""Page on which many people are invited at once: a list, its preview, and the links."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.people.candidates import Candidate, check
from console.people.invitation_lists import COLUMNS, decoded, entries
from console.people.members import days_field, role_field, roles_to_give
from console.tables import cell
from infrastructure.csv_cells import csv_lines
from tenants.models import Link, Team
from tenants.models.link import Purpose
from tenants.notices.links import mail_link
from tenants.roles import Permission, Role

LARGEST_FILE = 200_000  # bytes


class ListForm(ConsoleForm):
    text = forms.CharField(
        label=_("Email addresses"),
        required=False,
        max_length=LARGEST_FILE,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        help_text=_(
            "One a line, or between commas. A line may name a role and a team too: "
            "grace@acme.example, developer, Search"
        ),
    )
    file = forms.FileField(
        label=_("Or a CSV file"),
        required=False,
        help_text=_("With the columns email, role and team. It replaces what is pasted above."),
    )

    def __init__(self, data: Any, files: Any, *, roles: list[Role], teams: dict[str, Team]) -> None:
        super().__init__(data, files)
        self.teams = teams
        self.fields["role"] = role_field(roles, initial=Role.MEMBER)
        self.fields["role"].help_text = _("For people whose line names none.")
        if teams:
            choices = [("", _("None")), *((name, name) for name in teams)]
            self.fields["team"] = forms.ChoiceField(
                label=_("Team"), required=False, choices=choices
            )
        self.fields["days"] = days_field()

    def clean(self) -> dict[str, Any]:
        """Read the list, of the file if there is one."""
        fields = self.cleaned_data
        if file := fields.get("file"):
            if file.size > LARGEST_FILE:
                raise ValidationError({"file": _("This file is too large.")})
            fields["text"] = decoded(file.read())
        try:
            fields["entries"] = entries(fields.get("text", "").replace("\0", ""))
        except ValidationError as problem:
            self.add_error("file" if file else "text", problem)
        return fields

    def candidates(self, request: TenantRequest) -> list[Candidate]:
        fields = self.cleaned_data
        return check(
            request.tenant,
            fields["entries"],
            may_give=roles_to_give(request),
            teams=self.teams,
            role=Role(fields["role"]),
            team=self.teams.get(fields.get("team", "")),
        )


@dataclass(frozen=True, slots=True)
class Invited:
    email: str
    role: Role
    team: Team | None
    link: str
    mailed: bool  # by the outbox, where there is a mail server


@never_cache
@permitted(Permission.MANAGE_MEMBERS)
@recently_proven
def invitations(request: TenantRequest) -> HttpResponse:
    """Show the form; on POST the preview, or with `invite` the links of the people in it."""
    form = _form(request)
    if not form.is_valid():
        return _page(request, form)
    candidates = form.candidates(request)
    good = [candidate for candidate in candidates if not candidate.problem]
    if "invite" in request.POST and len(good) == len(candidates):
        return _page(request, None, **_invite(request, good, form.cleaned_data["days"]))
    return _page(request, form, candidates=candidates, good=good, list=_written(good))


def _form(request: TenantRequest) -> ListForm:
    data = (request.POST, request.FILES) if request.method == "POST" else (None, None)
    teams = request.tenant.teams.order_by("name")
    names = Permission.MANAGE_TEAMS in request.permissions
    return ListForm(
        *data, roles=roles_to_give(request), teams={t.name: t for t in teams} if names else {}
    )


def _invite(request: TenantRequest, people: list[Candidate], days: int) -> dict[str, Any]:
    """Invite all of them or none. Returns what the page shows once."""
    with transaction.atomic():
        invited = [_invited(request, candidate, days) for candidate in people]
    rows = [map(cell, (one.email, one.role, one.team or "", one.link)) for one in invited]
    file = csv_lines([(*COLUMNS, "link"), *rows], "\n")
    mailed = all(one.mailed for one in invited)
    return {"invited": invited, "days": days, "csv": file, "mailed": mailed}


def _invited(request: TenantRequest, candidate: Candidate, days: int) -> Invited:
    assert candidate.role
    email, role, team = candidate.entry.email, candidate.role, candidate.team
    link = Link.issue(
        Purpose.INVITATION,
        by=request.actor,
        email=email,
        tenant=request.tenant,
        role=role,
        team=team,
        days=days,
    )
    return Invited(email, role, team, link, mailed=mail_link(link))


def _written(people: list[Candidate]) -> str:
    """Returns the list of the preview, each person with their role and team."""
    rows = [(one.entry.email, one.role, one.team or "") for one in people]
    return csv_lines([COLUMNS, *rows], "\n")


def _page(request: TenantRequest, form: ListForm | None, **shown: Any) -> HttpResponse:
    return render(request, "console/people/invitations.html", {"form": form, **shown})
