"""Page of a tenant's widget keys: where its assistants may be embedded, and the line to paste."""

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.templatetags.static import static
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.access.key_forms import reaches_too_far
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.models import Assistant, WidgetKey
from inference.models.assistants.widget_key import MOST
from tenants.models import ApiKey, Tenant
from tenants.roles import Permission

SCRIPT = "widget/widget.js"
# Who chooses pages for a key speaks with its models, and spends what it may.
_TOO_FAR = gettext_lazy("This key may do more than your role. Ask an owner or an administrator.")
WIDGET_KEYS = Table(
    "widget-keys",
    {
        "name": Column(gettext_lazy("Name"), "name", "name"),
        "assistant": Column(gettext_lazy("Assistant"), "assistant_name", "assistant_name"),
        "api_key": Column(gettext_lazy("API key"), lambda row: row.key_name or "", "key_name"),
        "origins": Column(
            gettext_lazy("Origins"), lambda row: " ".join(row.origins), file_only=True
        ),
        "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
        "by": Column(gettext_lazy("Created by"), "created_by", file_only=True),
    },
    order="name",
    search=("name", "assistant_name", "key_name", "origins"),
)


class OriginsForm(ConsoleForm):
    origins = forms.CharField(
        label=gettext_lazy("Origins"),
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("Pages with the widget, one a line: https://www.example.com"),
    )

    def clean_origins(self) -> list[str]:
        return self.cleaned_data["origins"].split()  # type: ignore[no-any-return]


class WidgetKeyForm(OriginsForm):
    field_order = ("name", "assistant", "api_key", "origins")
    name = forms.CharField(label=gettext_lazy("Name"), max_length=80)
    assistant = forms.ModelChoiceField(
        Assistant.objects.none(), label=gettext_lazy("Assistant"), empty_label=None
    )
    api_key = forms.ModelChoiceField(
        ApiKey.objects.none(),
        label=gettext_lazy("API key"),
        empty_label=None,
        help_text=gettext_lazy("Its limits and quotas count what visitors ask. No page shows it."),
    )

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data)
        choices: dict[str, Any] = {
            "assistant": Assistant.objects.filter(tenant=tenant).order_by("name"),
            "api_key": tenant.api_keys.in_place().order_by("name"),
        }
        for name, rows in choices.items():
            self.fields[name].queryset = rows  # type: ignore[attr-defined]


@permitted(Permission.VIEW_KEYS)
def widget_keys(request: TenantRequest) -> HttpResponse:
    if file := WIDGET_KEYS.file(request, _rows(request)):
        return file
    return _page(request, WidgetKeyForm(None, request.tenant))


@require_POST
@permitted(Permission.MANAGE_KEYS)
def addition(request: TenantRequest) -> HttpResponse:
    form = WidgetKeyForm(request.POST, request.tenant)
    if saved(form, lambda: _create(request, **form.cleaned_data)):
        return redirect("console:widget_keys", tenant=request.tenant.name)
    return _page(request, form)


def _create(
    request: TenantRequest, name: str, assistant: Assistant, api_key: ApiKey, origins: list[str]
) -> None:
    if reaches_too_far(request, api_key):
        raise ValidationError({"api_key": _TOO_FAR})
    WidgetKey.create(request.tenant, name, assistant.pk, api_key, origins, by=request.actor)


@require_POST
@permitted(Permission.MANAGE_KEYS)
def change(request: TenantRequest, widget_key: UUID) -> HttpResponse:
    row, form = _row(request, widget_key), OriginsForm(request.POST)
    if row.api_key and reaches_too_far(request, row.api_key):
        raise PermissionDenied(_TOO_FAR)
    if saved(form, lambda: row.change(by=request.actor, **form.cleaned_data)):
        return redirect("console:widget_keys", tenant=request.tenant.name)
    return _page(request, WidgetKeyForm(None, request.tenant), row, form)


@require_POST
@permitted(Permission.MANAGE_KEYS)
def revocation(request: TenantRequest, widget_key: UUID) -> HttpResponse:
    row = _row(request, widget_key)
    text = _("The widget key %(name)s is revoked.") % {"name": row.name}
    return report_and_leave(request, row.revoke, text, "console:widget_keys")


def _rows(request: TenantRequest) -> QuerySet[Any]:
    """Returns the keys with the names of their assistant and API key."""
    assistants = Assistant.objects.filter(tenant=request.tenant, pk=OuterRef("assistant_id"))
    return request.tenant.widget_keys.live().annotate(
        assistant_name=Subquery(assistants.values("name")), key_name=F("api_key__name")
    )


def _row(request: TenantRequest, pk: UUID) -> WidgetKey:
    return get_object_or_404(request.tenant.widget_keys.live().select_related("tenant"), pk=pk)


def _page(
    request: TenantRequest,
    form: WidgetKeyForm,
    wrong: WidgetKey | None = None,
    wrong_form: OriginsForm | None = None,
) -> HttpResponse:
    table = WIDGET_KEYS.shown(request, _rows(request).select_related("api_key"))
    actors = Actors.among([row.created_by for row in table.rows], request.tenant)
    lines = [
        {
            "key": row,
            "by": actors.name(row.created_by),
            "works": bool(row.api_key and not row.api_key.revoked_at and not row.api_key.expired),
            "snippet": snippet(row),
            **_origins(row, wrong_form if row == wrong else None),
        }
        for row in table.rows
    ]
    context = {"table": table, "lines": lines, "form": form, "most": MOST}
    return render(request, "console/widget_keys.html", context)


def _origins(key: WidgetKey, wrong: OriginsForm | None) -> dict[str, Any]:
    """Returns a key's origins, or what was entered instead and what is wrong with it."""
    if wrong is not None:
        return {"origins": wrong["origins"].value(), "problem": wrong.errors}
    return {"origins": "\n".join(key.origins), "problem": None}


def snippet(key: WidgetKey) -> str:
    """Returns the line that a page needs."""
    source = f"{settings.PUBLIC_URL.rstrip('/')}{static(SCRIPT)}"
    return f'<script async src="{source}" data-key="{key.text}"></script>'
