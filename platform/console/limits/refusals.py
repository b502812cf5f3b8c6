"""Pages of requests that a limit or quota refused, with an explanation of each."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext_lazy as _

from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.forms import ConsoleForm, MomentField
from console.quota_lines import QuotaLine
from console.tables import Column, Table
from console.trail.actors import Actors, actors_named
from tenants.models import Refusal
from tenants.models.refusal import RefusedBy
from tenants.refusals.explanation import explain
from tenants.refusals.recorder import uuid_of
from tenants.roles import Permission, Role, may


class RefusalFilter(ConsoleForm):
    tier = forms.ChoiceField(
        label=_("Refused by"),
        required=False,
        choices=[("", _("Every limit")), *RefusedBy.choices],
    )
    who = forms.CharField(
        label=_("Caller"),
        required=False,
        widget=forms.TextInput(attrs={"placeholder": _("Email address or key name")}),
    )
    since = MomentField(label=_("From"))
    until = MomentField(label=_("To"))


_LAST = Column(_("Last"), "last_at", "last_at")
_COLUMNS = {
    "tier": Column(_("Refused by"), lambda row: row.get_tier_display(), "tier"),
    "caller": Column(_("Caller"), "actor", "actor"),
    "model": Column(_("Model"), "model", file_only=True),
    "route": Column(_("Route"), "route", "route"),
    "limit": Column(_("Limit"), "limit", "limit", numbers=True),
    "used": Column(_("Used"), "used", file_only=True),
    "times": Column(_("Times"), "count", "count", numbers=True),
    "id": Column(_("Id"), "public_id", file_only=True),
}
REFUSALS = Table("refusals", {"last": _LAST, **_COLUMNS}, order="-last")
ALL_REFUSALS = Table(
    "all-refusals",
    {"last": _LAST, "tenant": Column(_("Tenant"), "tenant.name", "tenant__name"), **_COLUMNS},
    order="-last",
)


@permitted(Permission.VIEW_LIMITS)
def refusal(request: TenantRequest, refusal: UUID) -> HttpResponse:
    row: Refusal = get_object_or_404(request.tenant.refusals, pk=refusal)
    quota = request.tenant.quotas.filter(pk=row.quota_id).first() if row.quota_id else None
    context = {
        "refusal": row,
        "who": Actors.among([row.actor], request.tenant).name(row.actor),
        "line": QuotaLine(quota, quota.balance()) if quota else None,
        "explained": explain(row),
        "may_ask": Permission.MANAGE_QUOTAS in request.permissions,
        "askers": _roles_that_may_ask(request.tenant.profile),
    }
    return render(request, "console/refusals/refusal.html", context)


def _roles_that_may_ask(profile: str) -> list[str]:
    """Roles that may ask for a raise, in words."""
    return [str(role.label) for role in Role if may(role, Permission.MANAGE_QUOTAS, profile)]


def _search(request: ConsoleRequest) -> HttpResponse:
    text = request.GET.get("id", "").strip()
    pk = uuid_of(text)
    if row := pk and _rows(request).filter(pk=pk).first():
        return redirect("console:refusal", tenant=row.tenant.name, refusal=row.pk)
    messages.error(request, _("No refusal here has the id %(id)s.") % {"id": text[:80]})
    if request.tenant:
        return redirect("console:refusals", tenant=request.tenant.name)
    return redirect("console:all_refusals")


def _list(request: ConsoleRequest) -> HttpResponse:
    form = RefusalFilter(request.GET)
    rows = _filtered(request, form) if form.is_valid() else Refusal.objects.none()
    table = REFUSALS if request.tenant else ALL_REFUSALS
    if file := table.file(request, rows):
        return file
    shown = table.shown(request, rows)
    actors = Actors.among([row.actor for row in shown.rows], request.tenant)
    context = {
        "form": form,
        "table": shown,
        "lines": [(row, actors.name(row.actor)) for row in shown.rows],
        "filtered": form.is_set,
    }
    return render(request, "console/refusals/page.html", context)


def _rows(request: ConsoleRequest) -> QuerySet[Refusal]:
    """Returns the refusals of the tenant, or of all where there is none in the address."""
    rows = request.tenant.refusals.all() if request.tenant else Refusal.objects.all()
    return rows.select_related("tenant")


def _filtered(request: ConsoleRequest, form: RefusalFilter) -> QuerySet[Refusal]:
    fields, rows = form.cleaned_data, _rows(request)
    if fields["who"]:
        rows = rows.filter(actor__in=actors_named(fields["who"], request.tenant))
    lookups = {"tier": "tier", "since": "last_at__gte", "until": "last_at__lt"}
    return rows.filter(**{lookup: fields[n] for n, lookup in lookups.items() if fields[n]})


refusals = permitted(Permission.VIEW_LIMITS)(_list)
all_refusals = operators_only(_list)
refusal_search = permitted(Permission.VIEW_LIMITS)(_search)
all_refusal_search = operators_only(_search)
