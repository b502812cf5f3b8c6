"""Pages of a tenant's API keys: the list, and new ones, whose text is shown once."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from console.access.key_forms import NewKeyForm
from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.post_only import require_POST
from inference.engines import answering
from tenants.models import ApiKey
from tenants.roles import Permission


@never_cache
@permitted(Permission.VIEW_KEYS)
@recently_proven
def api_keys(request: TenantRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request, NewKeyForm(request, None))
    if Permission.MANAGE_KEYS not in request.permissions:
        raise PermissionDenied(_("Your role can see API keys but not create them."))
    form = NewKeyForm(request, request.POST)
    if not form.is_valid():
        return _page(request, form)
    try:
        key, text = ApiKey.issue(
            request.tenant,
            by=request.actor,
            created_by=request.member,
            days=form.cleaned_data["days"],
            **form.settings(),
        )
    except ValidationError as problem:
        form.refuse(problem)
        return _page(request, form)
    return _page(request, NewKeyForm(request, None), new_key=key, text=text)


@require_POST
@permitted(Permission.MANAGE_KEYS)
def revocation(request: TenantRequest, key: UUID) -> HttpResponse:
    row = get_object_or_404(request.tenant.api_keys, pk=key)
    row.revoke(by=request.actor)
    messages.success(request, _("The key %(name)s is revoked.") % {"name": row.name})
    return redirect("console:api_keys", tenant=request.tenant.name)


def example() -> dict[str, Any]:
    """Returns values for the command line that is shown beside a new key."""
    return {"model": next(iter(answering()), "MODEL"), "public_url": settings.PUBLIC_URL}


def _page(request: TenantRequest, form: NewKeyForm, **shown: Any) -> HttpResponse:
    keys = request.tenant.api_keys.select_related("created_by__user", "team")
    keys = keys.order_by("-created_at")
    context = {
        "form": form,
        "live": keys.filter(revoked_at=None),
        "revoked": keys.exclude(revoked_at=None)[:20],
        **example(),
        **shown,
    }
    return render(request, "console/api_keys.html", context)
