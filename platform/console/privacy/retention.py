"""Page of retention periods, with a preview of what a change deletes."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.models import CheckRun, PrunedMonth
from audit.retention import data_classes, legal_hold, periods, pruning
from audit.retention.data_classes import MOST_DAYS
from audit.retention.periods import Preview
from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.forms import ConsoleForm
from console.paging import PAGE
from console.trail.actors import Actors
from tenants.models import Tenant
from tenants.roles import Permission

CHANGE = "change"


def _kinds_of_data() -> list[tuple[str, Any]]:
    return [(one.name, one.label) for one in data_classes.known()]


class RetentionForm(ConsoleForm):
    data_class = forms.ChoiceField(label=gettext_lazy("Kind of data"), choices=_kinds_of_data)
    days = forms.IntegerField(label=gettext_lazy("Days"), min_value=1, max_value=MOST_DAYS)


@permitted(Permission.VIEW_AUDIT)
def retention_page(request: TenantRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request)
    answer: HttpResponse = _change(request)  # type: ignore[assignment]
    return answer


@operators_only
def all_retention(request: ConsoleRequest) -> HttpResponse:
    """List every tenant's periods, and the result of last night's run."""
    fields = (request.GET.get(name, "") for name in ("q", "after"))
    search, after = (field.replace("\0", "").strip() for field in fields)
    tenants = Tenant.objects.filter(name__icontains=search, name__gt=after).order_by("name")
    shown = list(tenants[: PAGE + 1])
    rules = periods.rules_of([tenant.id for tenant in shown[:PAGE]])
    context = {
        "classes": data_classes.known(),
        "search": search,
        "after": after,
        "last": shown[PAGE - 1].name if len(shown) > PAGE else "",
        "lines": [(tenant, rules[tenant.id]) for tenant in shown[:PAGE]],
        "night": CheckRun.objects.filter(name=pruning.CHECK).order_by("-at").first(),
        "pruned": PrunedMonth.objects.order_by("-month", "table")[:24],
    }
    return render(request, "console/retention/all.html", context)


@recently_proven
def _change(request: TenantRequest) -> HttpResponse:
    """Show a preview first; apply the change when the same figures are sent again."""
    if Permission.MANAGE_RETENTION not in request.permissions:
        raise PermissionDenied(_("Your role in this tenant does not include this. Ask an owner."))
    form = RetentionForm(request.POST)
    if not form.is_valid():
        return _page(request, form=form)
    name, days = form.cleaned_data["data_class"], form.cleaned_data["days"]
    try:
        if request.POST.get("step") != CHANGE:
            preview = periods.preview(request.tenant.id, name, days)
            return _page(request, form=form, preview=preview, months=_months(preview))
        periods.change(request.tenant.id, name, days, by=request.actor)
    except ValidationError as problem:
        form.refuse(problem)
        return _page(request, form=form)
    messages.success(request, _("The retention has been changed and applies from tonight on."))
    return redirect("console:retention", tenant=request.tenant.name)


def _months(preview: Preview) -> list[tuple[str, list[int]]]:
    """Returns a row for each month, with a column for each kind."""
    return [
        (month, [rows.get(kind, 0) for kind in preview.total])
        for month, rows in preview.months.items()
    ]


def _page(request: TenantRequest, **shown: Any) -> HttpResponse:
    rules = periods.rules(request.tenant.id)
    actors = Actors.among([rule.changed_by for rule in rules], request.tenant)
    context = {
        "lines": [
            (rule, actors.name(rule.changed_by) if rule.changed_by else "") for rule in rules
        ],
        "form": RetentionForm(),
        "hold": legal_hold.in_force(request.tenant.id),
        "pruned": PrunedMonth.objects.filter(table="audit_event").order_by("-month")[:12],
        **shown,
    }
    return render(request, "console/retention/page.html", context)
