"""Pages of a tenant's decision policies, and which of their versions decide."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.decisions.forms import ChallengeForm, NewPolicyForm, OptionalPartForm, PartForm
from console.decisions.words import FIRST
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.decisions import policies as acts
from inference.models import DecisionPolicy
from tenants.roles import Permission

SHOWN = 100  # versions, the latest ones


POLICIES = Table(
    "decision-policies",
    {
        "policy": Column(gettext_lazy("Policy"), "name", "name"),
        "champion": Column(gettext_lazy("Decides"), "champion", "champion", numbers=True),
        "challenger": Column(gettext_lazy("Challenger"), "challenger", "challenger", numbers=True),
        "shadow": Column(gettext_lazy("Shadow"), "shadow", "shadow", numbers=True),
        "versions": Column(gettext_lazy("Versions"), "latest", "latest", numbers=True),
        "changed": Column(gettext_lazy("Changed"), "changed_at", "changed_at"),
    },
    order="policy",
    search=("name",),
)


@permitted(Permission.VIEW_POLICIES)
def policies(request: TenantRequest) -> HttpResponse:
    rows = request.tenant.decision_policies.all()
    return POLICIES.page(request, rows, "console/decisions/policies.html")


@permitted(Permission.MANAGE_POLICIES)
def addition(request: TenantRequest) -> HttpResponse:
    form = NewPolicyForm(request.POST or None, FIRST)
    create = partial(acts.create, request.tenant, by=request.actor)
    if row := saved(form, lambda: create(form.cleaned_data["name"], form.cleaned_data["spec"])):
        return _to_page(request, row)
    return render(request, "console/decisions/addition.html", {"form": form})


@permitted(Permission.VIEW_POLICIES)
def policy(request: TenantRequest, policy: UUID) -> HttpResponse:
    return _page(request, _row(request, policy))


@require_POST
@permitted(Permission.MANAGE_POLICIES)
@recently_proven
def promotion(request: TenantRequest, policy: UUID) -> HttpResponse:
    row = _row(request, policy)
    form = PartForm(request.POST, row)
    return _done(request, row, form, lambda: _promote(request, row, form))


@require_POST
@permitted(Permission.MANAGE_POLICIES)
@recently_proven
def challenge(request: TenantRequest, policy: UUID) -> HttpResponse:
    row = _row(request, policy)
    form = ChallengeForm(request.POST, row)
    return _done(request, row, form, lambda: _challenge(request, row, form))


@require_POST
@permitted(Permission.MANAGE_POLICIES)
@recently_proven
def shadow(request: TenantRequest, policy: UUID) -> HttpResponse:
    row = _row(request, policy)
    form = OptionalPartForm(request.POST, row)
    return _done(request, row, form, lambda: _shadow(request, row, form))


@require_POST
@permitted(Permission.MANAGE_POLICIES)
@recently_proven
def rollback(request: TenantRequest, policy: UUID) -> HttpResponse:
    row, text = _row(request, policy), _("The version before decides again.")
    page = "console:decision_policy"
    return report_and_leave(request, row.roll_back, text, page, policy=row.pk)


@require_POST
@permitted(Permission.MANAGE_POLICIES)
@recently_proven
def stop(request: TenantRequest, policy: UUID) -> HttpResponse:
    row, text = _row(request, policy), _("No version decides now. Requests are refused.")
    return report_and_leave(request, row.stop, text, "console:decision_policy", policy=row.pk)


@require_POST
@permitted(Permission.MANAGE_POLICIES)
@recently_proven
def removal(request: TenantRequest, policy: UUID) -> HttpResponse:
    row = _row(request, policy)
    text = _("The policy %(name)s is gone.") % {"name": row.name}
    return report_and_leave(request, row.remove, text, "console:decision_policies")


def _promote(request: TenantRequest, row: DecisionPolicy, form: ConsoleForm) -> None:
    version = row.versions.get(number=form.cleaned_data["version"])
    acts.promote(version, by=request.actor)


def _challenge(request: TenantRequest, row: DecisionPolicy, form: ConsoleForm) -> None:
    number, share = form.cleaned_data["version"], form.cleaned_data["percent"] / 100
    if number is None:
        return row.challenge(None, 0.0, by=request.actor)
    return acts.challenge(row.versions.get(number=number), share, by=request.actor)


def _shadow(request: TenantRequest, row: DecisionPolicy, form: ConsoleForm) -> None:
    if (number := form.cleaned_data["version"]) is None:
        return row.run_in_shadow(None, by=request.actor)
    return acts.run_in_shadow(row.versions.get(number=number), by=request.actor)


def _row(request: TenantRequest, policy: UUID) -> DecisionPolicy:
    rows = request.tenant.decision_policies.select_related("tenant")
    return get_object_or_404(rows, pk=policy)


def _to_page(request: TenantRequest, row: DecisionPolicy) -> HttpResponse:
    return redirect("console:decision_policy", tenant=request.tenant.name, policy=row.pk)


def _done(
    request: TenantRequest, row: DecisionPolicy, form: ConsoleForm, act: Callable[[], object]
) -> HttpResponse:
    """Act by a form of the policy's page, which shows it again with its errors."""
    return _to_page(request, row) if saved(form, act) else _page(request, row, form)


def _page(
    request: TenantRequest, row: DecisionPolicy, form: ConsoleForm | None = None
) -> HttpResponse:
    row.refresh_from_db()
    versions = list(row.versions.order_by("-number").defer("ciphertext")[:SHOWN])
    actors = Actors.among([each.created_by for each in versions], request.tenant)
    context = {
        "policy": row,
        "versions": [(each, actors.name(each.created_by)) for each in versions],
        "may_remove": not row.versions.exclude(served_at=None).exists(),
        "previous": row.previous,
        "promotion": PartForm(None, row),
        "challenge": ChallengeForm(None, row),
        "shadow": OptionalPartForm(None, row),
        "wrong": form,
    }
    return render(request, "console/decisions/policy.html", context)
