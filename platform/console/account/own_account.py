"""Page of one's own account: password, second factors, and open sessions."""

import re
from operator import itemgetter
from typing import Any

from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.db import transaction
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from audit.actions import Action
from console.account import session_records
from console.account.invitations import invitations_for
from console.account.password_policy import policy_of
from console.authorization import ConsoleRequest, own_account, signed_in
from console.post_only import require_POST
from console.quota_lines import QuotaLine, lines
from inference.chat.membership import memberships
from tenants.accounts import second_factor_policy, text_lock
from tenants.accounts.sessions import NOWHERE, end_sessions
from tenants.models import Member, User
from tenants.scope import tenant_scope

MOST_TENANTS = 20
# The first match counts: browsers also carry the names of those they descend from.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrom", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone|iPad", "iOS"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X|Macintosh", "macOS"),
    ("Linux|X11", "Linux"),
)


@signed_in
def account(request: ConsoleRequest) -> HttpResponse:
    user = request.user
    shown: dict[str, Any] = {
        "policy": policy_of(user),
        "second_factor": second_factor_policy.enrolled(user),
        "bound": second_factor_policy.requires(user),
        "sessions": _open_sessions(request),
        "invitations": invitations_for(user),
        "text_lock": text_lock.of(user),
        "quotas": _own_quotas(user),
        "chats": memberships(user)[:MOST_TENANTS],
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
        session_records.record(Action.SESSION_END, request, request.user)
    messages.success(request, _("That session has ended."))
    return redirect("console:account")


@require_POST
@own_account
def other_sessions_end(request: ConsoleRequest) -> HttpResponse:
    with transaction.atomic():
        ended = end_sessions(request.user, keep=request.session.session_key)
        session_records.record(Action.SESSION_END, request, request.user, {"sessions": ended})
    messages.success(request, _("You are signed out everywhere else."))
    return redirect("console:account")


def _open_sessions(request: ConsoleRequest) -> list[dict[str, Any]]:
    """Returns this session first, then the latest seen. Deletes those that have expired."""
    sessions = [
        {
            "pk": session.pk,
            "device": _device(session.user_agent),
            "address": "" if session.ip == NOWHERE else session.ip,
            "since": session.created_at,
            "last_seen": session.last_seen_at,
            "here": session.session_key == request.session.session_key,
        }
        for session in UserSession.objects.purge_and_list(request.user)
    ]
    return sorted(sessions, key=itemgetter("here", "last_seen"), reverse=True)


def _device(user_agent: str) -> str:
    """Returns a short name, such as "Firefox on Linux", by which people know their devices."""
    browser, system = _first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent)
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or user_agent[:60] or _("Unknown device")


def _first(patterns: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for pattern, name in patterns if re.search(pattern, user_agent)), "")


def _own_quotas(user: User) -> list[dict[str, Any]]:
    """Returns the quotas that count the person's chat, of each tenant that has any."""
    members = Member.objects.filter(user=user).select_related("tenant").order_by("tenant__name")
    own = [{"tenant": member.tenant, "lines": _lines(member)} for member in members[:MOST_TENANTS]]
    return [quotas for quotas in own if quotas["lines"]]


def _lines(member: Member) -> list[QuotaLine]:
    with tenant_scope(member.tenant_id, member.user_id):
        counting = Q(member=member) | Q(member=None, api_key=None)
        return lines(member.tenant, member.tenant.quotas.filter(counting))
