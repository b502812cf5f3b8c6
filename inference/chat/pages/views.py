"""The chat page, and its requests outside the socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from audit.retention.legal_hold import OnHold
from inference.chat import branches
from inference.chat import conversations as verbs
from inference.chat.branches import NotInConversation
from inference.chat.listed import listed
from inference.chat.membership import membership, memberships
from inference.chat.pages import page_data
from inference.chat.presets.listing import settings_form
from inference.chat.problems import problem
from inference.chat.requests import stored_bytes
from inference.chat.requests.access import (
    as_json,
    as_member,
    inside,
    moment,
    own,
    refuse_restricted,
    signed_in,
)
from inference.chat.socket import tabs
from inference.chat.socket.stopping import stop_all_on_commit
from inference.intake.access.allowed import no_models_reason
from inference.models import Conversation
from tenants.accounts import text_lock
from tenants.accounts.required_actions import duty
from tenants.models import User
from tenants.roles import readers
from tenants.scope import person_scope, tenant_scope

TENANT = "chat_tenant"  # in the session: the last tenant of this person's chat


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
        opened = own(user, conversation) if conversation else None
        member = opened.member if opened else _chosen(request, user)
        if member is None:
            return render(request, "chat/no_membership.html", status=403)
    request.session[TENANT] = member.tenant.name
    with tenant_scope(member.tenant_id, user.pk):
        shown = {
            "data": page_data.page_data(member, opened),
            **settings_form(member),
            "member": member,
            "members": list(memberships(user)),
            "text_lock": text_lock.of(user),
            "readers": [role.label for role in readers(member.tenant.profile)],
        }
        if not shown["data"]["models"]:
            shown["no_models"] = no_models_reason(member)
        return render(request, "chat/page.html", shown)


@signed_in
@require_GET
def conversations(request: HttpRequest, user: User) -> HttpResponse:
    try:
        before = moment(request.GET.get("before", ""))
        folder = UUID(request.GET["folder"]) if request.GET.get("folder") else None
    except ValueError:
        return HttpResponseBadRequest("`before` must be a time, `folder` an id")
    shelf = page_data.Shelf(folder, archived="archived" in request.GET)
    with as_member(user, request.GET.get("tenant", "")) as member:
        return as_json(page_data.page(member, before, shelf))


@signed_in
@require_GET
def messages(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    with inside(user, conversation) as opened:
        return as_json(page_data.with_messages(opened))


@signed_in
@require_POST
def title(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    new_title = request.POST.get("title", "").strip()
    if not new_title:
        return HttpResponse(status=400)
    with inside(user, conversation) as opened:
        verbs.rename(opened, new_title)
        renamed = listed(opened)
    async_to_sync(tabs.announce)(opened.member_id, opened.id)
    return as_json(renamed)


@signed_in
@require_POST
def deletion(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    try:
        with inside(user, conversation) as opened:
            refuse_restricted(opened.member)
            verbs.delete(opened, partial(stop_all_on_commit, getattr(request, "scope", None)))
    except OnHold:
        return as_json(problem("on_hold"), status=409)
    async_to_sync(tabs.announce)(opened.member_id, conversation)
    return HttpResponse(status=204)


@signed_in
@require_POST
def branch(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    """Show the branch with a message, and return it."""
    with inside(user, conversation) as opened:
        refuse_restricted(opened.member)
        with _known_message():
            branches.choose(opened, _message(request))
        shown = page_data.with_messages(opened)
    async_to_sync(tabs.announce)(opened.member_id, opened.id)
    return as_json(shown)


@signed_in
@require_POST
def fork(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    """Copy the conversation up to a message into a new one, and return that."""
    with inside(user, conversation) as opened, _known_message():
        copy = branches.fork(opened, _message(request))
        stored_bytes.count(request, opened.member, branches.stored_bytes(copy))
        copied = listed(copy)
    async_to_sync(tabs.announce)(opened.member_id, copied.id)
    return as_json(copied)


def _message(request: HttpRequest) -> UUID:
    try:
        return UUID(request.POST.get("message", ""))
    except ValueError:
        raise NotInConversation from None


@contextmanager
def _known_message() -> Iterator[None]:
    try:
        yield
    except NotInConversation:
        raise Http404 from None


def _locked(user: User, conversation: UUID) -> bool:
    """Returns whether it is theirs, and locked (tenants/accounts/text_lock.py).

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
