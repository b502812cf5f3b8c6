"""Authorization of pages by decorators. A stranger's tenant does not exist (404, never 403).

A decorator also opens the scope in which the view runs and its page is rendered (tenants/scope.py):
one transaction, which a PermissionDenied or another exception rolls back.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, resolve_url
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from console import operator_access
from console.post_only import page_of
from infrastructure.postgres.scope import system_connection
from tenants.accounts.required_actions import duty
from tenants.authentication.restriction import SAID, is_restricted
from tenants.models import Member, Tenant, User
from tenants.models.tenant import State
from tenants.roles import Permission, operator_permissions
from tenants.scope import person_scope, system_scope, tenant_scope

View = Callable[..., HttpResponseBase]
READING = ("GET", "HEAD", "OPTIONS")


class ConsoleRequest(HttpRequest):
    """The request of an authorized view."""

    user: User
    htmx: HtmxDetails
    tenant: Tenant | None
    member: Member | None  # None for an operator who does not belong to the tenant
    permissions: frozenset[Permission]
    actor: str  # as the audit trail writes it


class TenantRequest(ConsoleRequest):
    tenant: Tenant


def signed_in(view: View) -> View:
    """Decorate a page that every signed-in person may see."""

    @own_account
    @wraps(view)
    def checked(request: ConsoleRequest, **kwargs: Any) -> HttpResponseBase:
        return _required_action(request) or view(request, **kwargs)

    return checked


def own_account(view: View) -> View:
    """Decorate a page of one's own account, open even while an action is required of the person."""

    @wraps(view)
    def checked(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        with _outside_tenants(request.user):
            return view(_authorized(request, None), **kwargs)

    return never_cache(checked)


def own_page(view: Callable[..., Any]) -> View:
    """Decorate a view of django-allauth as own_account does, and render inside its scope."""

    @own_account
    @wraps(view)
    def rendered(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        response = view(request, **kwargs)
        if isinstance(response, TemplateResponse):
            response.render()
        return response  # type: ignore[no-any-return]

    return rendered


def _inside(scope: Callable[[], AbstractContextManager[None]], view: View) -> View:
    @wraps(view)
    def checked(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        with scope():
            return view(request, **kwargs)

    return checked


def before_sign_in(view: View) -> View:
    """Decorate a page that finds out who somebody is: by an address, a link, a factor."""
    return _inside(system_scope, view)


def signing_in(view: View) -> View:
    """Decorate a page on which people prove their identity.

    It is like before_sign_in, but without a transaction: counted tries stay counted.
    """
    return _inside(system_connection, view)


def operators_only(view: View) -> View:
    @signed_in
    @wraps(view)
    def checked(request: ConsoleRequest, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_operator:
            raise PermissionDenied(_("Only operators of the platform can open this page."))
        return view(request, **kwargs)

    return checked


def permitted(permission: Permission) -> Callable[[View], View]:
    """Decorate a page inside a tenant. An unknown permission fails as the URLs load."""
    needed = Permission(permission)

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, tenant: str, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _to_sign_in(request)
            if redirection := _required_action(request):
                return redirection
            with _outside_tenants(request.user):
                visible = Tenant.objects.visible_to(request.user)
                row = get_object_or_404(visible, name=tenant)
            with tenant_scope(row.id, request.user.pk):
                entered = _authorized(request, row)
                _refuse_if_closed(entered.user, row)
                if needed not in entered.permissions:
                    raise PermissionDenied(
                        _("Your role in this tenant does not include this page. Ask an owner.")
                    )
                _refuse_if_restricted(entered)
                if entered.member is None:
                    operator_access.record(request, entered.user.actor, row)
                return view(entered, **kwargs)

        return never_cache(checked)

    return decorate


def twin_pages(permission: Permission, view: View) -> tuple[View, View]:
    """Return a view as a page inside a tenant, and as the operators' page of all tenants.

    There the request has no tenant.
    """
    return permitted(permission)(view), operators_only(view)


def _refuse_if_closed(user: User, tenant: Tenant) -> None:
    """Raises PermissionDenied for all but operators, who look after a suspended tenant."""
    if tenant.state == State.ACTIVE or user.is_operator:
        return
    if tenant.state == State.SUSPENDED:
        raise PermissionDenied(_("The tenant is suspended."))
    raise PermissionDenied(_("The tenant is closing."))


def _refuse_if_restricted(request: ConsoleRequest) -> None:
    """Refuses changes by people whose data is restricted.

    The page of their own account, with their data, is not in a tenant and stays open.
    """
    member = None if request.method in READING else request.member
    if member and is_restricted(member.tenant_id, member.subject_id):
        raise PermissionDenied(SAID)


def _outside_tenants(user: User) -> AbstractContextManager[None]:
    return system_scope() if user.is_operator else person_scope(user.pk)


def _required_action(request: HttpRequest) -> HttpResponse | None:
    """Redirect people who must first set a new password or second factor; nothing else opens.

    See tenants/accounts/required_actions.py.
    """
    first = duty(request.session, cast("User", request.user))
    if not first:
        return None
    if cast("ConsoleRequest", request).htmx:
        return HttpResponseClientRedirect(resolve_url(first))
    return redirect(first)


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    if cast("ConsoleRequest", request).htmx:
        return HttpResponseClientRedirect(resolve_url("console:sign_in"))
    return redirect_to_login(page_of(request.get_full_path()))


def _authorized(request: HttpRequest, tenant: Tenant | None) -> ConsoleRequest:
    entered = cast("ConsoleRequest", request)
    entered.tenant = tenant
    entered.member = tenant.members.filter(user=entered.user).first() if tenant else None
    entered.actor = entered.member.actor if entered.member else entered.user.actor
    entered.permissions = frozenset()
    if tenant and entered.user.is_operator:
        entered.permissions |= operator_permissions(tenant.profile)
    if entered.member:
        entered.permissions |= entered.member.permissions
    return entered
