"""Page of contests: their clock, and entering one for a person who wrote or called."""

from typing import cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.keys.keyring import Unreadable
from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.decisions.reviews import UNREADABLE
from console.forms import ConsoleForm
from console.tables import LONGEST_SEARCH, Column, Table
from inference.models import Contest, ContestState, Decision
from inference.models.decisions.contest import LONGEST_STATEMENT, AlreadyContested
from inference.models.decisions.decision import PREFIX
from tenants.roles import Permission


class ContestFilter(ConsoleForm):
    state = forms.ChoiceField(
        label=gettext_lazy("State"),
        required=False,
        choices=[("", gettext_lazy("Every state")), *ContestState.choices],
    )

    q = forms.CharField(
        label=gettext_lazy("Find in this table"), required=False, max_length=LONGEST_SEARCH
    )


CONTESTS = Table(
    "contests",
    {
        "entered": Column(gettext_lazy("Entered"), "created_at", "created_at"),
        "policy": Column(gettext_lazy("Decision"), "decision.policy_name", "decision__policy_name"),
        "decision": Column(gettext_lazy("Id"), "decision.public_id", file_only=True),
        "due": Column(gettext_lazy("Due"), "due_at", "due_at"),
        "state": Column(gettext_lazy("State"), lambda row: row.get_state_display(), "state"),
    },
    order="-entered",
    search=("decision__policy_name",),
)


class ContestForm(ConsoleForm):
    decision = forms.CharField(
        label=gettext_lazy("Decision"),
        max_length=40,
        widget=forms.TextInput(attrs={"placeholder": f"{PREFIX}…"}),
    )
    statement = forms.CharField(
        label=gettext_lazy("What the person says"),
        required=False,
        max_length=LONGEST_STATEMENT,
        widget=forms.Textarea(attrs={"rows": 4}),
    )


@permitted(Permission.VIEW_DECISIONS)
def contests(request: TenantRequest) -> HttpResponse:
    if request.method == "POST":
        return cast("HttpResponse", _enter(request))
    if file := CONTESTS.file(request, _filtered(request, ContestFilter(request.GET))):
        return file
    return _list(request, ContestForm())


@recently_proven
def _enter(request: TenantRequest) -> HttpResponse:
    if Permission.REVIEW_DECISIONS not in request.permissions:
        raise PermissionDenied(_("Your role in this tenant does not include this. Ask an owner."))
    form = ContestForm(request.POST)
    if not form.is_valid():
        return _list(request, form)
    decision = find(request, form.cleaned_data["decision"])
    if decision is None:
        form.add_error("decision", _("There is no such decision."))
        return _list(request, form)
    try:
        Contest.begin(decision, form.cleaned_data["statement"], by=request.actor)
    except AlreadyContested:
        form.add_error("decision", _("A contest of this decision is open already."))
    except ValidationError as problem:
        form.refuse(problem)
    except Unreadable:
        form.add_error("decision", str(UNREADABLE))
    if form.errors:
        return _list(request, form)
    messages.success(request, _("Entered. Another person has to review the decision."))
    return redirect("console:contests", tenant=request.tenant.name)


def find(request: TenantRequest, text: str) -> Decision | None:
    """Returns the decision of an id as programs know it."""
    try:
        pk = UUID(hex=text.strip().removeprefix(PREFIX))
    except ValueError:
        return None
    return request.tenant.decisions.filter(pk=pk).first()


def _list(request: TenantRequest, form: ContestForm) -> HttpResponse:
    states = ContestFilter(request.GET)
    shown = CONTESTS.shown(request, _filtered(request, states))
    context = {
        "form": form,
        "states": states,
        "filtered": states.is_set,
        "table": shown,
        "contests": shown.rows,
        "overdue": request.tenant.contests.overdue().count(),
    }
    return render(request, "console/decisions/contests.html", context)


def _filtered(request: TenantRequest, form: ContestFilter) -> QuerySet[Contest]:
    rows = request.tenant.contests.select_related("decision", "review")
    state = form.cleaned_data["state"] if form.is_valid() else ""
    return rows.filter(state=state) if state else rows
