"""Your account: password, second factors, and where one is signed in."""

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
from console.account import session_acts
from console.account.invitations import waiting
from console.account.own_quotas import own_quotas
from console.account.password_policy import policy_of
from console.account.user_agent import described
from console.acts_only import require_POST
from console.authorization import ConsoleRequest, own_account, signed_in
from tenants.accounts import locked_texts, second_factor
from tenants.accounts.sessions import NOWHERE, end_sessions


@dataclass(frozen=True, slots=True)
class Place:
    """Where the person is signed in."""

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
        "places": _places(request),
        "invitations": waiting(user),
        "text_lock": locked_texts.of(user),
        "quotas": own_quotas(user),
        "identities": SocialAccount.objects.filter(user_id=user.pk),
    }
    return render(request, "account/home.html", shown)


@require_POST
@own_account
def session_end(request: ConsoleRequest, session: int) -> HttpResponse:
    found = get_object_or_404(UserSession, pk=session, user_id=request.user.pk)
    if found.session_key == request.session.session_key:
        return redirect("console:account")
    with transaction.atomic():
        found.end()
        session_acts.record(Action.SESSION_END, request, request.user, success=True)
    messages.success(request, _("That session has ended."))
    return redirect("console:account")


@require_POST
@own_account
def other_sessions_end(request: ConsoleRequest) -> HttpResponse:
    with transaction.atomic():
        ended = end_sessions(request.user, keep=request.session.session_key)
        session_acts.record(
            Action.SESSION_END, request, request.user, success=True, detail={"sessions": ended}
        )
    messages.success(request, _("You are signed out everywhere else."))
    return redirect("console:account")


def _places(request: ConsoleRequest) -> list[Place]:
    """Newest first; what has run out is forgotten."""
    found = UserSession.objects.purge_and_list(request.user)
    places = [
        Place(
            pk=session.pk,
            device=described(session.user_agent),
            address="" if session.ip == NOWHERE else session.ip,
            since=session.created_at,
            last_seen=session.last_seen_at,
            here=session.session_key == request.session.session_key,
        )
        for session in found
    ]
    return sorted(places, key=lambda place: (place.here, place.last_seen), reverse=True)
