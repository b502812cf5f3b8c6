"""The chat page, and its requests outside the socket."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from uuid import UUID

import msgspec
from asgiref.sync import async_to_sync
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from audit.keys.keyring import Barred
from audit.retention.legal_hold import OnHold
from inference.chat import conversations as verbs
from inference.chat import page_data
from inference.chat.membership import CHATTING, membership, memberships
from inference.chat.problems import problem
from inference.chat.socket import tabs
from inference.chat.socket.stopping import stop_all_on_commit
from inference.intake.access.allowed import no_models_reason
from inference.models import Conversation
from tenants.accounts import locked_texts
from tenants.accounts.required_actions import duty
from tenants.authentication.restriction import is_restricted
from tenants.models import User
from tenants.roles import readers
from tenants.scope import person_scope, tenant_scope

View = Callable[..., HttpResponse]
TENANT = "chat_tenant"  # in the session: the last tenant of this person's chat


def signed_in(view: View) -> View:
    """Answer scripts with status 401 instead of the sign-in page."""

    @wraps(view)
    def checked(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated or duty(request.session, request.user):
            return HttpResponse(status=401)
        return view(request, user=request.user, **kwargs)

    return never_cache(checked)


@never_cache
@require_GET
def page(request: HttpRequest, conversation: UUID | None = None) -> HttpResponse:
    user = request.user
    if not user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    if first := duty(request.session, user):
        return redirect(first)
    with person_scope(user.pk):
        if conversation and _locked(user, conversation):
            return redirect("chat:page")
        opened = _own(user, conversation) if conversation else None
        member = opened.member if opened else _chosen(request, user)
        if member is None:
            return render(request, "chat/no_membership.html", status=403)
    request.session[TENANT] = member.tenant.name
    with tenant_scope(member.tenant_id, user.pk):
        shown = {
            "data": page_data.page_data(member, opened),
            "member": member,
            "members": list(memberships(user)),
            "text_lock": locked_texts.of(user),
            "readers": [role.label for role in readers(member.tenant.profile)],
        }
        if not shown["data"]["models"]:
            shown["no_models"] = no_models_reason(member)
        return render(request, "chat/page.html", shown)


@signed_in
@require_GET
def conversations(request: HttpRequest, user: User) -> HttpResponse:
    with person_scope(user.pk):
        member = membership(user, request.GET.get("tenant", ""))
    if member is None:
        raise Http404
    try:
        before = parse_datetime(request.GET.get("before", ""))
    except ValueError:
        return HttpResponseBadRequest("`before` must be a time")
    with tenant_scope(member.tenant_id, user.pk):
        return _json(page_data.page(member, before))


@signed_in
@require_GET
def messages(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    with _inside(user, conversation) as opened:
        return _json(page_data.with_messages(opened))


@signed_in
@require_POST
def title(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    new_title = request.POST.get("title", "").strip()
    if not new_title:
        return HttpResponse(status=400)
    try:
        with _inside(user, conversation) as opened:
            verbs.rename(opened, new_title)
            renamed = page_data.listed(opened)
    except Barred:
        return _json(problem("restricted"), status=409)
    async_to_sync(tabs.announce)(opened.member_id, opened.id)
    return _json(renamed)


@signed_in
@require_POST
def deletion(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    try:
        with _inside(user, conversation) as opened:
            if is_restricted(opened.tenant_id, opened.member.subject_id):
                return _json(problem("restricted"), status=409)
            verbs.refuse_if_held(opened)
            stop_all_on_commit(getattr(request, "scope", None), opened)
            verbs.delete(opened)
    except OnHold:
        return _json(problem("on_hold"), status=409)
    async_to_sync(tabs.announce)(opened.member_id, conversation)
    return HttpResponse(status=204)


@contextmanager
def _inside(user: User, conversation: UUID) -> Iterator[Conversation]:
    """Yields the conversation, in the scope of its tenant."""
    with person_scope(user.pk):
        owned = _own(user, conversation)
    with tenant_scope(owned.tenant_id, user.pk):
        yield owned


def _own(user: User, conversation: UUID) -> Conversation:
    return get_object_or_404(verbs.of_user(user, CHATTING), pk=conversation)


def _locked(user: User, conversation: UUID) -> bool:
    """Returns whether it is theirs, and locked (tenants/accounts/locked_texts.py).

    The page explains it.
    """
    return Conversation.objects.filter(verbs.LOCKED, pk=conversation, member__user=user).exists()


def _chosen(request: HttpRequest, user: User) -> Any:
    """Returns the membership in the requested tenant, else in the last one, else the first."""
    requested = request.GET.get("tenant", "")
    chosen = membership(user, requested or request.session.get(TENANT, ""))
    if requested and chosen is None:
        raise Http404
    return chosen or membership(user, "")


def _json(content: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(content), "application/json", status)
