"""Page of the answer cache: hits, size, rules and purging."""

from typing import Any

import redis
from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.post_only import require_POST
from inference.cache.stored import Figures, Stored, figures, purge_by, stored
from inference.engines import served
from tenants.models import ApiKey, CacheRule, Tenant
from tenants.roles import Permission


class RuleForm(ConsoleForm):
    model = forms.ChoiceField(label=gettext_lazy("Model"), required=False)
    api_key = forms.ModelChoiceField(
        label=gettext_lazy("API key"),
        queryset=ApiKey.objects.none(),
        required=False,
        empty_label=gettext_lazy("All"),
    )
    on = forms.ChoiceField(
        label=gettext_lazy("Answers"),
        choices=(("on", gettext_lazy("are kept")), ("off", gettext_lazy("are not kept"))),
    )

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data)
        models, keys = self.fields["model"], self.fields["api_key"]
        assert isinstance(models, forms.ChoiceField)
        assert isinstance(keys, forms.ModelChoiceField)
        models.choices = [("", _("All")), *((name, name) for name in served())]
        keys.queryset = tenant.api_keys.live().order_by("name")


@permitted(Permission.VIEW_USAGE)
def cache(request: TenantRequest) -> HttpResponse:
    return _page(request, RuleForm(None, request.tenant))


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def rule(request: TenantRequest) -> HttpResponse:
    form = RuleForm(request.POST, request.tenant)
    if form.is_valid():
        fields = form.cleaned_data
        scope = {"model": fields["model"], "api_key": fields["api_key"]}
        try:
            CacheRule.set(request.tenant, on=fields["on"] == "on", by=request.actor, **scope)
            return _back(request)
        except ValidationError as problem:
            form.refuse(problem)
    return _page(request, form)


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def rule_drop(request: TenantRequest, rule: int) -> HttpResponse:
    get_object_or_404(request.tenant.cache_rules, pk=rule).drop(by=request.actor)
    return _back(request)


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def cache_purge(request: TenantRequest) -> HttpResponse:
    purge_by(request.tenant, by=request.actor)
    messages.success(request, _("No answer that was kept until now is sent again."))
    return _back(request)


def _back(request: TenantRequest) -> HttpResponse:
    return redirect("console:cache", tenant=request.tenant.name)


def _page(request: TenantRequest, form: RuleForm) -> HttpResponse:
    lookups, stock = figures(request.tenant.id), _stored(request.tenant)
    names = sorted({*lookups, *(stock.entries if stock else ())})
    lines = [
        (name, lookups.get(name, Figures()), stock and (stock.entries[name], stock.bytes[name]))
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
