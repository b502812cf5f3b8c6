"""Page of the answer cache: hits, size, rules and purging."""

from functools import partial
from typing import Any

import redis
from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext_lazy as _

from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from inference.cache.stored_answers import CacheFigures, Stored, figures, purge_by, stored
from inference.engines import served_to
from tenants.models import CacheRule, Tenant
from tenants.roles import Permission


class RuleForm(ConsoleForm):
    on = forms.TypedChoiceField(
        label=_("Answers"),
        coerce=lambda word: word == "on",
        choices=(("on", _("are kept")), ("off", _("are not kept"))),
    )

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data)
        self.fields["model"] = forms.ChoiceField(
            label=_("Model"),
            required=False,
            choices=[("", _("All")), *((name, name) for name in served_to(tenant.pk))],
        )
        self.fields["api_key"] = forms.ModelChoiceField(
            tenant.api_keys.in_place().order_by("name"),
            label=_("API key"),
            required=False,
            empty_label=_("All"),
        )
        self.order_fields(("model", "api_key"))


@permitted(Permission.VIEW_USAGE)
def cache(request: TenantRequest) -> HttpResponse:
    return _page(request, RuleForm(None, request.tenant))


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def rule(request: TenantRequest) -> HttpResponse:
    form = RuleForm(request.POST, request.tenant)
    set_rule = partial(CacheRule.set, request.tenant, by=request.actor)
    if saved(form, lambda: set_rule(**form.cleaned_data)):
        return _back(request)
    return _page(request, form)


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def rule_drop(request: TenantRequest, rule: int) -> HttpResponse:
    get_object_or_404(request.tenant.cache_rules, pk=rule).drop(by=request.actor)
    return _back(request)


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def cache_purge(request: TenantRequest) -> HttpResponse:
    text = _("No answer that was kept until now is sent again.")
    return report_and_leave(request, partial(purge_by, request.tenant), text, "console:cache")


def _back(request: TenantRequest) -> HttpResponse:
    return redirect("console:cache", tenant=request.tenant.name)


def _page(request: TenantRequest, form: RuleForm) -> HttpResponse:
    lookups, stock = figures(request.tenant.id), _stored(request.tenant)
    names = sorted({*lookups, *(stock.entries if stock else ())})
    lines = [
        (
            name,
            lookups.get(name, CacheFigures()),
            stock and (stock.entries[name], stock.bytes[name]),
        )
        for name in names
    ]
    rules = request.tenant.cache_rules.select_related("api_key").order_by("model", "api_key__name")
    context = {"lines": lines, "form": form, "rules": rules, "redis_is_away": stock is None}
    return render(request, "console/prompts/cache.html", context)


def _stored(tenant: Tenant) -> Stored | None:
    try:
        return stored(tenant.id)
    except redis.RedisError:
        return None
