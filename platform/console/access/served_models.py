"""Page of the served models: open to the whole tenant, or restricted to teams and keys."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext_lazy as _

from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from inference.engines import engines_of, pools_of, served_to
from inference.engines.health import reachability
from tenants import model_access
from tenants.models import ApiKey, RestrictedModel, Team, Tenant
from tenants.roles import Permission


class GrantForm(ConsoleForm):
    """Grants a model to one team or one key: the ids are "team:<uuid>" and "key:<uuid>"."""

    def __init__(self, data: Any, tenant: Tenant, without: list[model_access.Holder]) -> None:
        super().__init__(data, auto_id=False)
        keys = [key for key in tenant.api_keys.live().order_by("name") if key not in without]
        teams = [team for team in tenant.teams.order_by("name") if team not in without]
        choices = [
            ("", _("Choose a team or a key")),
            (_("Teams"), [(_token(team), team.name) for team in teams]),
            (_("API keys"), [(_token(key), str(key)) for key in keys]),
        ]
        widget = forms.Select(attrs={"aria-label": _("Team or key")})
        field = forms.ChoiceField(label=_("Team or key"), choices=choices, widget=widget)
        self.fields["holder"] = field


@dataclass(frozen=True, slots=True)
class ServedModelRow:
    name: str
    served: bool
    kept_out: bool  # hosted elsewhere, and the tenant is local-only
    down_since: datetime | None
    restricted: RestrictedModel | None
    holders: list[tuple[str, model_access.Holder]]  # with their tokens
    form: GrantForm | None


def _holder_names(restricted: RestrictedModel) -> str:
    return ", ".join(holder.name for holder in model_access.holders(restricted))


RESTRICTED = Table(
    "restricted-models",
    {
        "name": Column(_("Model"), "name", "name"),
        "holders": Column(_("Granted to"), _holder_names),
        "since": Column(_("Restricted since"), "created_at", "created_at"),
    },
    order="name",
    search=("name",),
)


@permitted(Permission.VIEW_TEAMS)
def models(request: TenantRequest) -> HttpResponse:
    return RESTRICTED.file(request, request.tenant.restricted_models.all()) or _page(request)


@require_POST
@permitted(Permission.MANAGE_TEAMS)
def restriction(request: TenantRequest) -> HttpResponse:
    name = request.POST.get("model", "")
    if name not in served_to(request.tenant.pk):
        raise Http404
    text = _("%(model)s is now restricted to the teams and keys that you grant it to.")
    act = partial(model_access.restrict, request.tenant, name)
    return report_and_leave(request, act, text % {"model": name}, "console:models")


@require_POST
@permitted(Permission.MANAGE_TEAMS)
def opening(request: TenantRequest) -> HttpResponse:
    name = _restricted(request).name
    text = _("%(model)s is open to everyone in the tenant.") % {"model": name}
    act = partial(model_access.open_to_all, request.tenant, name)
    return report_and_leave(request, act, text, "console:models")


@require_POST
@permitted(Permission.MANAGE_TEAMS)
def granting(request: TenantRequest) -> HttpResponse:
    restricted = _restricted(request)
    form = GrantForm(request.POST, request.tenant, model_access.holders(restricted))
    holder = saved(form, lambda: _grant(request, restricted, form.cleaned_data["holder"]))
    if not holder:
        return _page(request, restricted, form)
    text = _("%(holder)s may use %(model)s.")
    messages.success(request, text % {"holder": holder.name, "model": restricted.name})
    return redirect("console:models", tenant=request.tenant.name)


@require_POST
@permitted(Permission.MANAGE_TEAMS)
def withdrawal(request: TenantRequest) -> HttpResponse:
    restricted = _restricted(request)
    holder = _holder(request.tenant, request.POST.get("holder", ""))
    text = _("%(holder)s may no longer use %(model)s.")
    names = {"holder": holder.name, "model": restricted.name}
    act = partial(model_access.withdraw, restricted, holder)
    return report_and_leave(request, act, text % names, "console:models")


def _grant(request: TenantRequest, model: RestrictedModel, token: str) -> model_access.Holder:
    holder = _holder(request.tenant, token)
    model_access.grant(model, holder, by=request.actor)
    return holder


def _token(holder: model_access.Holder) -> str:
    return f"{'team' if isinstance(holder, Team) else 'key'}:{holder.pk}"


def _holder(tenant: Tenant, token: str) -> model_access.Holder:
    kind, _colon, pk = token.partition(":")
    try:
        if kind == "team":
            return tenant.teams.get(pk=pk)
        return tenant.api_keys.get(pk=pk)
    except (Team.DoesNotExist, ApiKey.DoesNotExist, ValidationError):
        raise Http404 from None


def _restricted(request: TenantRequest) -> RestrictedModel:
    name = request.POST.get("model", "")
    return get_object_or_404(request.tenant.restricted_models, name=name)


def _page(
    request: TenantRequest, wrong: RestrictedModel | None = None, form: GrantForm | None = None
) -> HttpResponse:
    restricted = {row.name: row for row in request.tenant.restricted_models.all()}
    names = sorted({*served_to(request.tenant.pk), *restricted})
    lines = [_line(request, name, restricted.get(name)) for name in names]
    if wrong and form:
        lines = [replace(line, form=form) if line.restricted == wrong else line for line in lines]
    table = RESTRICTED.shown(request, request.tenant.restricted_models.all())
    return render(request, "console/models.html", {"lines": lines, "table": table})


def _line(request: TenantRequest, name: str, restricted: RestrictedModel | None) -> ServedModelRow:
    holders = model_access.holders(restricted) if restricted else []
    form = GrantForm(None, request.tenant, holders) if restricted else None
    tokens = [(_token(holder), holder) for holder in holders]
    is_served = name in served_to(request.tenant.pk)
    pools = pools_of(name) if is_served else ()
    down = reachability.down_since(engines_of(name)) if is_served else None
    kept_out = bool(pools) and request.tenant.local_only and all(pool.hosted for pool in pools)
    return ServedModelRow(name, is_served, kept_out, down, restricted, tokens, form)
