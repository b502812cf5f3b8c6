"""A proof of identity within the last ten minutes, required before a dangerous act.

    @require_POST
    @permitted(Permission.MANAGE_MEMBERS)
    @recently_proven
    def removal(request: TenantRequest, member: UUID) -> HttpResponse: ...

The decorator comes below `permitted`, `operators_only` or `signed_in`. GET needs no proof, so it
also fits pages that show a form and act on POST. Signing in counts as proof. Without one, the
person is redirected to their password or second factor and then back to the page, where the form
holds their entries again and is sent (saved_form.py).
"""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.logout import logout
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect

from console.account import saved_form
from console.account.saved_form import Entered
from console.authorization import ConsoleRequest, View
from console.post_only import page_of
from tenants.accounts import second_factor_policy

BY_FACTOR = "mfa"  # the method of a proof, as django-allauth records it
NOWHERE = "/"


def recently_proven(view: Callable[..., HttpResponse], method: str = "") -> View:
    @wraps(view)
    def checked(request: ConsoleRequest, **kwargs: Any) -> HttpResponse:
        by = method if method and second_factor_policy.enrolled(request.user) else ""
        if request.method in ("GET", "HEAD") or is_proven(request, by):
            return view(request, **kwargs)
        page = _page_of(request)
        entered = None if page == NOWHERE else saved_form.save(request, urlsplit(page).path, by)
        messages.warning(request, _announcement(entered))
        return _redirect_to_proof(request, page, by)

    return checked


def _announcement(entered: Entered | None) -> str:
    if entered and entered.is_whole:
        return _("Confirm your identity first. Your form is then submitted.")
    if entered and not entered.is_empty:
        return _("Confirm your identity first. Your entries will be restored.")
    return _("Confirm your identity, then submit the form again.")


def restored_form(request: HttpRequest) -> tuple[Entered, bool] | None:
    """Returns the entries of a form once, and whether the page sends it now."""
    entered = saved_form.restore(request)
    if entered is None:
        return None
    return entered, entered.is_whole and _comes_from_proof(request) and is_proven(
        request, entered.by
    )


def _comes_from_proof(request: HttpRequest) -> bool:
    """Returns whether the person has just left the page of the proof on this very host."""
    came_from = request.headers.get("Referer", "")
    safe = url_has_allowed_host_and_scheme(came_from, {request.get_host()}, request.is_secure())
    proof = resolve_url("account_reauthenticate")
    return safe and urlsplit(came_from).path.startswith(proof)


def recently_proven_by_factor(view: Callable[..., HttpResponse]) -> View:
    """Require the second factor of people who have one. The act checks whether one is needed."""
    return recently_proven(view, BY_FACTOR)


def factor_proven(view: Callable[..., HttpResponse]) -> View:
    """Decorate a page that changes second factors: who has one proves by it, also to see the page.

    Else whoever knows the password adds a factor of their own, and proves by that ever after.
    """

    @wraps(view)
    def checked(request: ConsoleRequest, **kwargs: Any) -> HttpResponse:
        if second_factor_policy.enrolled(request.user) and not is_proven(request, BY_FACTOR):
            return _redirect_to_proof(request, request.path, BY_FACTOR)
        return view(request, **kwargs)

    return checked


def may_read_texts(request: HttpRequest) -> bool:
    """Returns whether the proof is good enough to read what other people wrote.

    It takes the second factor of those who have one, and roles that read texts require one
    (tenants/accounts/second_factor_policy.py).
    """
    user = request.user
    enrolled = user.is_authenticated and second_factor_policy.enrolled(user)
    return is_proven(request, BY_FACTOR if enrolled else "")


def is_proven(request: HttpRequest, by: str = "") -> bool:
    """Returns whether this session has proved its person's identity within the last ten minutes.

    `by`: with this method, else with any. A proof of the future is none: the clock went back.
    """
    if not request.user.is_authenticated:
        return False
    proofs = [r for r in get_authentication_records(request, request.user) if _is_proof(r)]
    times = [float(proof["at"]) for proof in proofs if by in ("", proof["method"])]
    now, longest = time.time(), settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    return any(abs(now - at) < longest for at in times)


def _is_proof(record: dict[str, Any]) -> bool:
    """Returns whether the record is of the sign-in itself, or of a later proof."""
    return bool(record.get("reauthenticated")) or record["method"] == "socialaccount"


def _redirect_to_proof(request: ConsoleRequest, page: str, by: str) -> HttpResponse:
    methods = get_adapter(request).get_reauthentication_methods(request.user)
    methods = [method for method in methods if method["id"].startswith(by)]
    if methods:
        url = f"{methods[0]['url']}?{urlencode({'next': page})}"
    else:  # neither password nor second factor: the identity provider must vouch again
        logout(request, show_message=False)
        url = f"{resolve_url('console:sign_in')}?{urlencode({'next': page})}"
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)


def _page_of(request: HttpRequest) -> str:
    """Returns the page whose form was sent, by path only; NOWHERE where the browser names none."""
    came_from = request.headers.get("Referer", "")
    hosts = {request.get_host()}
    if not url_has_allowed_host_and_scheme(came_from, hosts, request.is_secure()):
        return NOWHERE
    parts = urlsplit(came_from)
    return page_of(f"{parts.path}?{parts.query}" if parts.query else parts.path or "/")
