"""Pages of a tenant's API keys: the list, new ones, whose text is shown once, and one key."""

from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from console.access.key_forms import (
    ChangedKeyForm,
    NewKeyForm,
    RotationForm,
    ScheduleForm,
    may_handle,
)
from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.post_only import require_POST
from console.quota_lines import QuotaLine, lines
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.intake.access.allowed import models_of
from tenants.key_scopes import key_permissions
from tenants.models import ApiKey, Tenant
from tenants.models.key_permissions import permissions_of
from tenants.roles import Permission

KEYS = Table(
    "api-keys",
    {
        "name": Column(gettext_lazy("Name"), "name", "name"),
        "scopes": Column(gettext_lazy("Scopes"), lambda row: ", ".join(row.scopes)),
        "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
        "last_used": Column(gettext_lazy("Last used"), "last_used_at", "last_used_at"),
        "expires": Column(gettext_lazy("Expires"), "expires_at", "expires_at"),
    },
    order="-created",
    search=("name", "public_id", "team__name", "created_by__user__email"),
)


def _live(request: TenantRequest) -> QuerySet[ApiKey]:
    return request.tenant.api_keys.live().select_related("created_by__user", "team")


@never_cache
@permitted(Permission.VIEW_KEYS)
@recently_proven
def api_keys(request: TenantRequest) -> HttpResponse:
    if file := KEYS.file(request, _live(request)):
        return file
    if request.method != "POST":
        return _page(request, NewKeyForm(request, None))
    if Permission.MANAGE_KEYS not in request.permissions:
        raise PermissionDenied(_("Your role can see API keys but not create them."))
    form = NewKeyForm(request, request.POST)
    issue = partial(ApiKey.issue, request.tenant, by=request.actor, created_by=request.member)
    issued = saved(form, lambda: issue(**form.cleaned_data))
    if not issued:
        return _page(request, form)
    key, text = issued
    return _page(request, NewKeyForm(request, None), new_key=key, text=text)


@require_POST
@permitted(Permission.MANAGE_KEYS)
def revocation(request: TenantRequest, key: UUID) -> HttpResponse:
    row = get_object_or_404(request.tenant.api_keys, pk=key)
    text = _("The key %(name)s is revoked.") % {"name": row.name}
    return report_and_leave(request, row.revoke, text, "console:api_keys")


def _example(tenant: Tenant) -> dict[str, Any]:
    """Returns values for the command line that is shown beside a new key."""
    return {"model": next(iter(models_of(tenant)), "MODEL"), "public_url": settings.PUBLIC_URL}


def _page(request: TenantRequest, form: NewKeyForm, **shown: Any) -> HttpResponse:
    table = KEYS.shown(request, _live(request))
    revoked = request.tenant.api_keys.exclude(revoked_at=None).order_by("-created_at")
    context = {
        "form": form,
        "table": table,
        "live": table.rows,
        "revoked": revoked[:20],
        **_example(request.tenant),
        **shown,
    }
    return render(request, "console/api_keys.html", context)


@never_cache
@permitted(Permission.VIEW_KEYS)
@recently_proven
def api_key(request: TenantRequest, key: UUID) -> HttpResponse:
    row = _key(request, key)
    if request.method != "POST":
        return _key_page(request, row)
    if Permission.MANAGE_KEYS not in request.permissions:
        raise PermissionDenied(_("Your role can see API keys but not change them."))
    _refuse_escalation(request, row)
    form = ChangedKeyForm(request, request.POST, row)
    if not form.is_valid():
        return _key_page(request, row, form=form)
    try:
        row.change(by=request.actor, **form.settings())
    except ValidationError as problem:
        if row.revoked_at:
            return _refused(request, row, problem)
        form.refuse(problem)
        return _key_page(request, _key(request, key), form=form)
    messages.success(
        request, _("The key has been changed. The change takes effect within a second.")
    )
    return redirect("console:api_key", tenant=request.tenant.name, key=key)


@never_cache
@require_POST
@permitted(Permission.MANAGE_KEYS)
@recently_proven
def rotation(request: TenantRequest, key: UUID) -> HttpResponse:
    row = _key(request, key)
    _refuse_escalation(request, row)
    form = RotationForm(request.POST)
    if not form.is_valid():
        return _key_page(request, row, rotation=form)
    try:
        successor, text = row.rotate(by=request.actor, overlap=form.overlap)
    except ValidationError as problem:
        return _refused(request, row, problem)
    return _key_page(
        request, _key(request, successor.pk), new_key=successor, text=text, replaced=row
    )


@never_cache
@require_POST
@permitted(Permission.MANAGE_KEYS)
@recently_proven
def schedule(request: TenantRequest, key: UUID) -> HttpResponse:
    """Set when the key rotates by itself."""
    row = _key(request, key)
    _refuse_escalation(request, row)
    form = ScheduleForm.of(row, request.POST)
    if not saved(form, lambda: form.save(row, by=request.actor)):
        return _key_page(request, _key(request, key), schedule=form)
    messages.success(request, _("The schedule has been saved."))
    return redirect("console:api_key", tenant=request.tenant.name, key=key)


@never_cache
@require_POST
@permitted(Permission.MANAGE_KEYS)
@recently_proven
def collection(request: TenantRequest, key: UUID) -> HttpResponse:
    """Show the text of a successor that was made by schedule, once."""
    row = _key(request, key)
    _refuse_escalation(request, row)
    try:
        text = row.collect(by=request.actor)
    except ValidationError as problem:
        return _refused(request, row, problem)
    replaced = request.tenant.api_keys.filter(replaced_by=row).first()
    return _key_page(request, _key(request, key), new_key=row, text=text, replaced=replaced)


def _refused(request: TenantRequest, key: ApiKey, problem: ValidationError) -> HttpResponse:
    """Show why a key changed meanwhile refuses this: its page has no such form any more."""
    messages.error(request, " ".join(problem.messages))
    return redirect("console:api_key", tenant=request.tenant.name, key=key.pk)


def _refuse_escalation(request: TenantRequest, key: ApiKey) -> None:
    if not may_handle(request, key):
        raise PermissionDenied(
            _("This key may do more than your role. Ask an owner or an administrator.")
        )


def _key(request: TenantRequest, key: UUID) -> ApiKey:
    keys = request.tenant.api_keys.select_related("created_by__user", "team", "replaced_by")
    return get_object_or_404(keys, pk=key)


def _key_page(request: TenantRequest, key: ApiKey, **shown: Any) -> HttpResponse:
    handled = Permission.MANAGE_KEYS in request.permissions and may_handle(request, key)
    context = {
        "key": key,
        "may_change": handled and not key.revoked_at,
        "predecessor": request.tenant.api_keys.filter(replaced_by=key).first(),
        "form": ChangedKeyForm(request, None, key),
        "rotation": RotationForm(),
        "schedule": ScheduleForm.of(key),
        "standings": _quota_lines(request, key),
        "grantors": _grantors(request, key),
        "weaker": permissions_of(key) < key_permissions(key.scopes, request.tenant.profile),
        **_example(request.tenant),
        **shown,
    }
    return render(request, "console/api_key.html", context)


def _grantors(request: TenantRequest, key: ApiKey) -> list[str]:
    actors = Actors.among(key.grantors, request.tenant)
    return [actors.name(actor) for actor in key.grantors]


def _quota_lines(request: TenantRequest, key: ApiKey) -> list[QuotaLine] | None:
    if Permission.VIEW_LIMITS not in request.permissions:
        return None
    return lines(request.tenant, request.tenant.quotas.filter(api_key=key))
