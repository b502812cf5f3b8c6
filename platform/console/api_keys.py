"""A tenant's API keys: made, shown once, revoked."""

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from console.door import TenantRequest, permitted
from console.forms import ConsoleForm
from tenants.models import ApiKey
from tenants.roles import Permission


class ApiKeyForm(ConsoleForm):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=80,
        help_text=gettext_lazy("What the key is for: a program, a person, a place."),
    )
    days = forms.TypedChoiceField(
        label=gettext_lazy("Expires"),
        coerce=int,
        choices=[
            (90, gettext_lazy("after 90 days")),
            (30, gettext_lazy("after 30 days")),
            (365, gettext_lazy("after a year")),
            (0, gettext_lazy("never")),
        ],
    )


@never_cache
@permitted(Permission.VIEW_KEYS)
def api_keys(request: TenantRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request, ApiKeyForm())
    if Permission.MANAGE_KEYS not in request.permissions:
        raise PermissionDenied(_("Your role can see API keys but not create them."))
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        return _page(request, form)
    key, text = ApiKey.issue(
        request.tenant,
        form.cleaned_data["name"],
        by=request.actor,
        created_by=request.member,
        days=form.cleaned_data["days"],
    )
    return _page(request, ApiKeyForm(), new_key=key, text=text)


@require_POST
@permitted(Permission.MANAGE_KEYS)
def revocation(request: TenantRequest, key: UUID) -> HttpResponse:
    found = get_object_or_404(request.tenant.api_keys, pk=key)
    found.revoke(by=request.actor)
    messages.success(request, _("The key %(name)s is revoked.") % {"name": found.name})
    return redirect("console:api_keys", tenant=request.tenant.name)


def _page(request: TenantRequest, form: ApiKeyForm, **shown: Any) -> HttpResponse:
    keys = request.tenant.api_keys.select_related("created_by__user").order_by("-created_at")
    context = {
        "form": form,
        "live": keys.filter(revoked_at=None),
        "revoked": keys.exclude(revoked_at=None)[:20],
        "model": next(iter(settings.ENGINES), "MODEL"),
        "public_url": settings.PUBLIC_URL,
        **shown,
    }
    return render(request, "console/api_keys.html", context)
