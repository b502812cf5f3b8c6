"""Page of one's own account: password, second factors, and open sessions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from audit.actions import Action
from console.account import session_records
from console.account.invitations import invitations_for
from console.account.own_quotas import own_quotas
from console.account.password_policy import policy_of
from console.account.user_agent import browser_and_system
from console.authorization import ConsoleRequest, own_account, signed_in
from console.post_only import require_POST
from tenants.accounts import locked_texts, second_factor
from tenants.accounts.sessions import NOWHERE, end_sessions


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A browser in which the person is signed in."""

    pk: int
    device: str
    address: str
    since: datetime
    last_seen: datetime
    here: bool


@signed_in
def account(request: ConsoleRequest) -> HttpResponse:
    user = request.user
    shown: dict[str, Any] = {
        "policy": policy_of(user),
        "second_factor": second_factor.enrolled(user),
        "bound": second_factor.bound(user),
        "sessions": _open_sessions(request),
        "invitations": invitations_for(user),
        "text_lock": locked_texts.of(user),
        "quotas": own_quotas(user),
        "identities": SocialAccount.objects.filter(user_id=user.pk),
    }
    return render(request, "account/home.html", shown)


@require_POST
@own_account
def session_end(request: ConsoleRequest, session: int) -> HttpResponse:
    row = get_object_or_404(UserSession, pk=session, user_id=request.user.pk)
    if row.session_key == request.session.session_key:
        return redirect("console:account")
    with transaction.atomic():
        row.end()
        session_records.record(Action.SESSION_END, request, request.user, success=True)
    messages.success(request, _("That session has ended."))
    return redirect("console:account")


@require_POST
@own_account
def other_sessions_end(request: ConsoleRequest) -> HttpResponse:
    with transaction.atomic():
        ended = end_sessions(request.user, keep=request.session.session_key)
        session_records.record(
            Action.SESSION_END, request, request.user, success=True, detail={"sessions": ended}
        )
    messages.success(request, _("You are signed out everywhere else."))
    return redirect("console:account")


def _open_sessions(request: ConsoleRequest) -> list[OpenSession]:
    """Returns this session first, then the latest seen. Deletes those that have expired."""
    rows = UserSession.objects.purge_and_list(request.user)
    sessions = [
        OpenSession(
            pk=session.pk,
            device=browser_and_system(session.user_agent),
            address="" if session.ip == NOWHERE else session.ip,
            since=session.created_at,
            last_seen=session.last_seen_at,
            here=session.session_key == request.session.session_key,
        )
        for session in rows
    ]
    return sorted(sessions, key=lambda one: (one.here, one.last_seen), reverse=True)
