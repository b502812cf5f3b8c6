"""Who may see a page: a word on the view. A stranger's tenant does not exist (404, never 403)."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, resolve_url
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from tenants.models import Member, Tenant, User
from tenants.roles import PERMISSIONS, Permission, Role

View = Callable[..., HttpResponse]


class ConsoleRequest(HttpRequest):
    """What a view behind the door may rely on."""

    user: User
    htmx: HtmxDetails
    tenant: Tenant | None
    member: Member | None  # None for an operator who does not belong to the tenant
    permissions: frozenset[Permission]
    actor: str  # as the audit trail writes it


class TenantRequest(ConsoleRequest):
    tenant: Tenant


def signed_in(view: Callable[..., HttpResponse]) -> View:
    """For a page that every signed-in person may see."""

    @wraps(view)
    def checked(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        return view(_entered(request, None), **kwargs)

    return never_cache(checked)


def operators_only(view: Callable[..., HttpResponse]) -> View:
    @signed_in
    @wraps(view)
    def checked(request: ConsoleRequest, **kwargs: Any) -> HttpResponse:
        if not request.user.is_operator:
            raise PermissionDenied(_("Only operators of the platform can open this page."))
        return view(request, **kwargs)

    return checked


def permitted(permission: Permission) -> Callable[[Callable[..., HttpResponse]], View]:
    """For a page inside a tenant. A word that does not exist fails as the URLs load."""
    needed = Permission(permission)

    def decorate(view: Callable[..., HttpResponse]) -> View:
        @wraps(view)
        def checked(request: HttpRequest, tenant: str, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return _to_sign_in(request)
            visible = Tenant.objects.visible_to(request.user)
            entered = _entered(request, get_object_or_404(visible, name=tenant))
            if needed not in entered.permissions:
                raise PermissionDenied(
                    _("Your role in this tenant does not include this page. Ask an owner.")
                )
            return view(entered, **kwargs)

        return never_cache(checked)

    return decorate


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    if cast("ConsoleRequest", request).htmx:
        return HttpResponseClientRedirect(resolve_url("console:sign_in"))
    return redirect_to_login(request.get_full_path())


def _entered(request: HttpRequest, tenant: Tenant | None) -> ConsoleRequest:
    entered = cast("ConsoleRequest", request)
    entered.tenant = tenant
    entered.member = tenant.members.filter(user=entered.user).first() if tenant else None
    entered.actor = entered.member.actor if entered.member else entered.user.actor
    entered.permissions = frozenset()
    if entered.user.is_operator:
        entered.permissions = frozenset(Permission)
    elif entered.member:
        entered.permissions = PERMISSIONS[Role(entered.member.role)]
    return entered
