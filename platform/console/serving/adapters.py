"""Pages of a tenant's adapters: their versions, the history, and what they took."""

from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm, NameField
from console.post_only import require_POST
from console.reported_acts import act_and_report, report_and_leave, saved
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.adapters import acts, usage
from inference.engines import served_to
from inference.models import Adapter, ModelVersion, VersionKind
from inference.models.adapter import LONGEST_ADAPTER, AdapterQuerySet
from tenants.models import Tenant
from tenants.roles import Permission

SHOWN = 50  # promotions, the latest ones


class AdapterForm(ConsoleForm):
    base = forms.ChoiceField(label=gettext_lazy("Model"))
    name = NameField(max_length=LONGEST_ADAPTER)

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data)
        names = served_to(tenant.pk)
        self.fields["base"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]


class VersionForm(ConsoleForm):
    version = forms.ModelChoiceField(ModelVersion.objects.none(), label=gettext_lazy("Version"))

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data)
        ready = ModelVersion.objects.of(tenant.id).ready().filter(kind=VersionKind.ADAPTER)
        field: Any = self.fields["version"]
        field.queryset = ready.order_by("name", "-number")


def _serving(row: Adapter) -> str:
    return str(row.serving.version) if row.serving else ""


ADAPTERS = Table(
    "adapters",
    {
        "name": Column(gettext_lazy("Name for requests"), "model", "request_name"),
        "serving": Column(gettext_lazy("Version that serves"), _serving),
        "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
    },
    order="name",
    search=("request_name",),
)


@permitted(Permission.VIEW_ADAPTERS)
def adapters(request: TenantRequest) -> HttpResponse:
    if file := ADAPTERS.file(request, _rows(request)):
        return file
    return _list(request, AdapterForm(None, request.tenant))


@require_POST
@permitted(Permission.MANAGE_ADAPTERS)
def addition(request: TenantRequest) -> HttpResponse:
    form = AdapterForm(request.POST, request.tenant)
    create = partial(acts.create, request.tenant, by=request.actor)
    if row := saved(form, lambda: create(**form.cleaned_data)):
        return redirect("console:adapter", tenant=request.tenant.name, adapter=row.pk)
    return _list(request, form)


@permitted(Permission.VIEW_ADAPTERS)
def adapter(request: TenantRequest, adapter: UUID) -> HttpResponse:
    return _page(request, _row(request, adapter), VersionForm(None, request.tenant))


@require_POST
@permitted(Permission.MANAGE_ADAPTERS)
def promotion(request: TenantRequest, adapter: UUID) -> HttpResponse:
    row, form = _row(request, adapter), VersionForm(request.POST, request.tenant)
    promote = partial(acts.promote, row, by=request.actor)
    if saved(form, lambda: promote(form.cleaned_data["version"])):
        return _to_page(request, row)
    return _page(request, row, form)


@require_POST
@permitted(Permission.MANAGE_ADAPTERS)
def rollback(request: TenantRequest, adapter: UUID) -> HttpResponse:
    row = _row(request, adapter)
    text = _("The version before is being loaded, and serves then.")
    act_and_report(request, partial(acts.roll_back, row), text)
    return _to_page(request, row)


@require_POST
@permitted(Permission.MANAGE_ADAPTERS)
def cancellation(request: TenantRequest, adapter: UUID) -> HttpResponse:
    row = _row(request, adapter)
    if loading := row.loading:
        act_and_report(request, loading.cancel, _("The version is not loaded."))
    return _to_page(request, row)


@require_POST
@permitted(Permission.MANAGE_ADAPTERS)
def removal(request: TenantRequest, adapter: UUID) -> HttpResponse:
    row = _row(request, adapter)
    text = _("The adapter %(name)s is gone.") % {"name": row.model}
    return report_and_leave(request, row.remove, text, "console:adapters")


def _row(request: TenantRequest, adapter: UUID) -> Adapter:
    return get_object_or_404(Adapter.objects.of(request.tenant), pk=adapter)


def _to_page(request: TenantRequest, row: Adapter) -> HttpResponse:
    return redirect("console:adapter", tenant=request.tenant.name, adapter=row.pk)


def _rows(request: TenantRequest) -> AdapterQuerySet:
    request_name = Concat(F("base"), Value(":"), F("name"))
    return Adapter.objects.of(request.tenant).annotate(request_name=request_name)


def _list(request: TenantRequest, form: AdapterForm) -> HttpResponse:
    table = ADAPTERS.shown(request, _rows(request))
    rows = [(row, row.serving, row.loading) for row in table.rows]
    most = settings.ADAPTERS_PER_TENANT
    context = {"table": table, "adapters": rows, "form": form, "most": most}
    return render(request, "console/adapters/adapters.html", context)


def _page(request: TenantRequest, row: Adapter, form: VersionForm) -> HttpResponse:
    history = list(row.promotions.select_related("version")[:SHOWN])
    actors = Actors.among([each.created_by for each in history], request.tenant)
    context = {
        "adapter": row,
        "serving": row.serving,
        "loading": row.loading,
        "previous": row.previous,
        "history": [(each, actors.name(each.created_by)) for each in history],
        "usage": usage.by_version(row),
        "days": usage.SPAN.days,
        "form": form,
        "base": settings.PUBLIC_URL,
    }
    return render(request, "console/adapters/adapter.html", context)
