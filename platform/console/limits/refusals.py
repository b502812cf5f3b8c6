"""Requests that a limit or a quota refused, and one of them explained: which, by whom, how long."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.forms import ConsoleForm, MomentField
from console.paging import page
from console.quota_lines import Line
from console.trail.actors import Actors, actors_named
from tenants.models import Refusal
from tenants.models.refusal import RefusedBy
from tenants.refusals.explanation import explain
from tenants.refusals.recorder import uuid_of
from tenants.roles import Permission, Role, may


class RefusalFilter(ConsoleForm):
    tier = forms.ChoiceField(
        label=gettext_lazy("Refused by"),
        required=False,
        choices=[("", gettext_lazy("Every limit")), *RefusedBy.choices],
    )
    who = forms.CharField(
        label=gettext_lazy("Caller"),
        required=False,
        widget=forms.TextInput(attrs={"placeholder": gettext_lazy("Email address or key name")}),
    )
    since = MomentField(label=gettext_lazy("From"))
    until = MomentField(label=gettext_lazy("To"))


@permitted(Permission.VIEW_LIMITS)
def refusals(request: TenantRequest) -> HttpResponse:
    return _list(request, request.tenant.refusals.all())


@operators_only
def all_refusals(request: ConsoleRequest) -> HttpResponse:
    return _list(request, Refusal.objects.all())


@permitted(Permission.VIEW_LIMITS)
def refusal(request: TenantRequest, refusal: UUID) -> HttpResponse:
    found: Refusal = get_object_or_404(request.tenant.refusals, pk=refusal)
    quota = request.tenant.quotas.filter(pk=found.quota_id).first() if found.quota_id else None
    context = {
        "refusal": found,
        "who": Actors.among([found.actor], request.tenant).name(found.actor),
        "line": Line(quota, quota.standing()) if quota else None,
        "explained": explain(found),
        "may_ask": Permission.MANAGE_QUOTAS in request.permissions,
        "askers": _askers(request.tenant.profile),
    }
    return render(request, "console/refusals/refusal.html", context)


def _askers(profile: str) -> list[str]:
    """Roles that may ask for a raise, in words."""
    return [str(role.label) for role in Role if may(role, Permission.MANAGE_QUOTAS, profile)]


@permitted(Permission.VIEW_LIMITS)
def refusal_search(request: TenantRequest) -> HttpResponse:
    found = _searched(request, request.tenant.refusals.all())
    if found is None:
        return redirect("console:refusals", tenant=request.tenant.name)
    return redirect("console:refusal", tenant=request.tenant.name, refusal=found.pk)


@operators_only
def all_refusal_search(request: ConsoleRequest) -> HttpResponse:
    found = _searched(request, Refusal.objects.select_related("tenant"))
    if found is None:
        return redirect("console:all_refusals")
    return redirect("console:refusal", tenant=found.tenant.name, refusal=found.pk)


def _searched(request: ConsoleRequest, refusals: QuerySet[Refusal]) -> Refusal | None:
    text = request.GET.get("id", "").strip()
    pk = uuid_of(text)
    found = refusals.filter(pk=pk).first() if pk else None
    if found is None:
        messages.error(request, _("No refusal here has the id %(id)s.") % {"id": text[:80]})
    return found


def _list(request: ConsoleRequest, refusals: QuerySet[Refusal]) -> HttpResponse:
    form = RefusalFilter(request.GET)
    found = _filtered(request, form, refusals) if form.is_valid() else refusals.none()
    shown = page(found.select_related("tenant"), "last_at", request.GET.get("cursor", ""))
    actors = Actors.among([row.actor for row in shown.rows], request.tenant)
    context = {
        "form": form,
        "page": shown,
        "lines": [(row, actors.name(row.actor)) for row in shown.rows],
        "filtered": any(form.cleaned_data.values()) if form.is_valid() else True,
    }
    return render(request, "console/refusals/page.html", context)


def _filtered(
    request: ConsoleRequest, form: RefusalFilter, refusals: QuerySet[Refusal]
) -> QuerySet[Refusal]:
    given: dict[str, Any] = form.cleaned_data
    if given["who"]:
        refusals = refusals.filter(actor__in=actors_named(given["who"], request.tenant))
    if given["tier"]:
        refusals = refusals.filter(tier=given["tier"])
    if given["since"]:
        refusals = refusals.filter(last_at__gte=given["since"])
    if given["until"]:
        refusals = refusals.filter(last_at__lt=given["until"])
    return refusals
