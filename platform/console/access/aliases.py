"""Page of a tenant's aliases: names for requests, and the models behind them."""

from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.engines import adapters, served_to
from inference.intake.access import aliasing
from inference.models import ModelAlias
from inference.models.model_alias import MOST, is_alias
from inference.models.served import LONGEST_NAME
from tenants.models import Tenant
from tenants.roles import Permission


class ModelForm(ConsoleForm):
    model = forms.ChoiceField(label=gettext_lazy("Model"))

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data)
        names = served_to(tenant.pk)
        names += [row.model for row in adapters.of_tenant(tenant.pk) if row.base in names]
        self.fields["model"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]


class AliasForm(ModelForm):
    field_order = ("name", "model")
    name = forms.CharField(
        label=gettext_lazy("Alias"),
        max_length=LONGEST_NAME,
        validators=[is_alias],
        help_text=gettext_lazy("As clients send it, such as claude-sonnet-4-5 or gpt-5"),
    )


ALIASES = Table(
    "aliases",
    {
        "name": Column(gettext_lazy("Alias"), "name", "name"),
        "model": Column(gettext_lazy("Model"), "model", "model"),
        "changed": Column(gettext_lazy("Set"), "changed_at", "changed_at"),
        "by": Column(gettext_lazy("Set by"), "created_by", file_only=True),
    },
    order="name",
    search=("name", "model"),
)


@permitted(Permission.VIEW_TEAMS)
def aliases(request: TenantRequest) -> HttpResponse:
    if file := ALIASES.file(request, request.tenant.model_aliases.all()):
        return file
    return _page(request, AliasForm(None, request.tenant))


@require_POST
@permitted(Permission.MANAGE_TEAMS)
def addition(request: TenantRequest) -> HttpResponse:
    form = AliasForm(request.POST, request.tenant)
    create = partial(aliasing.create, request.tenant, by=request.actor)
    if saved(form, lambda: create(**form.cleaned_data)):
        return _back(request)
    return _page(request, form)


@require_POST
@permitted(Permission.MANAGE_TEAMS)
def change(request: TenantRequest, alias: UUID) -> HttpResponse:
    row, form = _row(request, alias), ModelForm(request.POST, request.tenant)
    if saved(form, lambda: aliasing.change(row, by=request.actor, **form.cleaned_data)):
        return _back(request)
    return _page(request, AliasForm(None, request.tenant), row, form)


@require_POST
@permitted(Permission.MANAGE_TEAMS)
def removal(request: TenantRequest, alias: UUID) -> HttpResponse:
    row = _row(request, alias)
    text = _("The alias %(name)s is gone.") % {"name": row.name}
    return report_and_leave(request, row.remove, text, "console:aliases")


def _row(request: TenantRequest, alias: UUID) -> ModelAlias:
    return get_object_or_404(request.tenant.model_aliases.select_related("tenant"), pk=alias)


def _back(request: TenantRequest) -> HttpResponse:
    return redirect("console:aliases", tenant=request.tenant.name)


def _page(
    request: TenantRequest,
    form: AliasForm,
    wrong: ModelAlias | None = None,
    wrong_form: ModelForm | None = None,
) -> HttpResponse:
    table = ALIASES.shown(request, request.tenant.model_aliases.select_related("tenant"))
    actors = Actors.among([row.created_by for row in table.rows], request.tenant)
    lines = [
        {
            "alias": row,
            "state": aliasing.state_of(row).value,
            "by": actors.name(row.created_by),
            "problem": wrong_form.errors if row == wrong and wrong_form else None,
        }
        for row in table.rows
    ]
    context: dict[str, Any] = {"table": table, "lines": lines, "form": form, "most": MOST}
    context["models"] = _choices(form)
    return render(request, "console/aliases.html", context)


def _choices(form: AliasForm) -> list[str]:
    field: Any = form.fields["model"]
    return [name for name, _label in field.choices]
