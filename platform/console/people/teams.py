"""Pages of a tenant's teams: their members, API keys, budgets and granted models."""

from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext_lazy as _

from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm, KnowingForm
from console.people.team_budgets import BudgetForm, budgets
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from tenants.model_access import holders
from tenants.models import Team, Tenant
from tenants.models.quotas.quota import SetByPlatform
from tenants.roles import Permission


class TeamForm(KnowingForm):
    name = forms.CharField(label=_("Name"), max_length=80)

    temporary_chats = forms.BooleanField(
        label=_("Every chat is temporary"),
        required=False,
        help_text=_("Chats of members of this team are deleted when they leave them."),
    )

    def __init__(self, data: Any, tenant: Tenant, team: Team | None = None) -> None:
        names = ("name", "temporary_chats")
        super().__init__(data, initial={n: getattr(team, n) for n in names} if team else {})
        if team is None:
            del self.fields["temporary_chats"]
        self.others = tenant.teams.exclude(pk=team.pk) if team else tenant.teams.all()

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if self.others.filter(name=name).exists():
            raise ValidationError(_("There is a team of this name already."))
        return name


class MembershipForm(ConsoleForm):
    def __init__(self, data: Any, team: Team) -> None:
        super().__init__(data)
        outside = team.tenant.members.exclude(team_memberships__team=team).select_related("user")
        field = forms.ModelChoiceField(
            outside.order_by("user__email"), label=_("Member"), empty_label=_("Choose a member")
        )
        field.label_from_instance = lambda obj: obj.user.email  # type: ignore[method-assign]
        self.fields["member"] = field


_REFUSALS = {SetByPlatform: _("The platform has set this quota: ask for an increase.")}
TEAMS = Table(
    "teams",
    {
        "name": Column(_("Team"), "name", "name"),
        "people": Column(_("Members"), "people", "people", numbers=True),
        "keys": Column(_("API keys"), "keys", "keys", numbers=True),
        "created": Column(_("Created"), "created_at", "created_at"),
    },
    order="name",
    search=("name",),
)


@permitted(Permission.VIEW_TEAMS)
def teams(request: TenantRequest) -> HttpResponse:
    form = TeamForm(request.POST or None, request.tenant)
    if request.method == "POST":
        _refuse_unless_manager(request)
        create = partial(Team.form, request.tenant, by=request.actor)
        if team := saved(form, lambda: create(**form.cleaned_data)):
            return _back(request, team)
    rows = request.tenant.teams.annotate(
        people=Count("memberships", distinct=True),
        keys=Count("api_keys", distinct=True, filter=Q(api_keys__revoked_at=None)),
    )
    return TEAMS.page(request, rows, "console/teams.html", form=form)


@permitted(Permission.VIEW_TEAMS)
def team(request: TenantRequest, team: UUID) -> HttpResponse:
    row = _team(request, team)
    form = TeamForm(request.POST or None, request.tenant, row)
    if request.method == "POST":
        _refuse_unless_manager(request)
        change = partial(row.change, by=request.actor)
        if saved(form, lambda: change(**form.cleaned_data)):
            return _back(request, row)
        row.refresh_from_db()
    return _page(request, row, form=form)


@require_POST
@permitted(Permission.MANAGE_TEAMS)
def disbanding(request: TenantRequest, team: UUID) -> HttpResponse:
    row = _team(request, team)
    text = _("The team %(name)s is gone.") % {"name": row.name}
    act = partial(row.disband, platform=request.user.is_operator)
    return report_and_leave(request, act, text, "console:teams", _REFUSALS)


@require_POST
@permitted(Permission.MANAGE_TEAMS)
def joining(request: TenantRequest, team: UUID) -> HttpResponse:
    row = _team(request, team)
    form = MembershipForm(request.POST, row)
    if not saved(form, lambda: row.add(form.cleaned_data["member"], by=request.actor)):
        return _page(request, row, place=form)
    return _back(request, row)


@require_POST
@permitted(Permission.MANAGE_TEAMS)
def leaving(request: TenantRequest, team: UUID, member: UUID) -> HttpResponse:
    row = _team(request, team)
    row.take_out(get_object_or_404(request.tenant.members, pk=member), by=request.actor)
    return _back(request, row)


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def budget(request: TenantRequest, team: UUID) -> HttpResponse:
    row, form = _team(request, team), BudgetForm(request.POST)
    platform = request.user.is_operator
    if not saved(form, lambda: form.set(row, by=request.actor, platform=platform), _REFUSALS):
        return _page(request, row, budget_form=form)
    messages.success(request, _("The budget has been set and applies from now on."))
    return _back(request, row)


def _refuse_unless_manager(request: TenantRequest) -> None:
    if Permission.MANAGE_TEAMS not in request.permissions:
        raise PermissionDenied(_("Your role can see teams but not change them."))


def _team(request: TenantRequest, team: UUID) -> Team:
    return get_object_or_404(request.tenant.teams, pk=team)


def _back(request: TenantRequest, team: Team) -> HttpResponse:
    return redirect("console:team", tenant=request.tenant.name, team=team.pk)


def _page(request: TenantRequest, team: Team, **shown: Any) -> HttpResponse:
    restricted = request.tenant.restricted_models.order_by("name")
    context = {
        "team": team,
        "form": TeamForm(None, request.tenant, team),
        "place": MembershipForm(None, team),
        "members": request.tenant.members.filter(team_memberships__team=team)
        .select_related("user")
        .order_by("user__email"),
        "keys": team.api_keys.live().order_by("name"),
        "budgets": budgets(request, team),
        "budget_form": BudgetForm(),
        "granted": [model for model in restricted if team in holders(model)],
        **shown,
    }
    return render(request, "console/team.html", context)
