"""Helpers of the chat's requests outside the socket: who asks, and for which conversation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any
from uuid import UUID

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache

from audit.keys.keyring import Barred
from inference.chat import conversations
from inference.chat.membership import CHATTING, membership
from inference.chat.problems import ChatRefused, explained, problem
from inference.intake.errors import NotAdmitted
from inference.models import Conversation
from tenants.accounts.required_actions import duty
from tenants.authentication.restriction import is_restricted
from tenants.models import Member, User
from tenants.scope import person_scope, tenant_scope

View = Callable[..., HttpResponse]
GONE = "preset_gone"


def signed_in(view: View) -> View:
    """Answer scripts with status 401 instead of the sign-in page, and refusals with their words."""

    @wraps(view)
    def checked(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated or duty(request.session, request.user):
            return HttpResponse(status=401)
        try:
            return view(request, user=request.user, **kwargs)
        except Barred:
            return as_json(problem("restricted"), status=409)
        except (ChatRefused, NotAdmitted) as refused:
            refusal = explained(refused)
            return as_json(refusal, status=404 if refusal.code == GONE else 409)

    return never_cache(checked)


def refuse_restricted(member: Member) -> None:
    """Raises ChatRefused if the person's data is being erased or is restricted."""
    if is_restricted(member.tenant_id, member.subject_id):
        raise ChatRefused("restricted")


@contextmanager
def inside(user: User, conversation: UUID) -> Iterator[Conversation]:
    """Yields the conversation, in the scope of its tenant. Raises Http404."""
    with person_scope(user.pk):
        owned = own(user, conversation)
    with tenant_scope(owned.tenant_id, user.pk):
        yield owned


@contextmanager
def as_member(user: User, tenant: str) -> Iterator[Member]:
    """Yields the membership in the tenant of that name, in its scope. Raises Http404."""
    with person_scope(user.pk):
        member = membership(user, tenant)
    if member is None:
        raise Http404
    with tenant_scope(member.tenant_id, user.pk):
        yield member


def own(user: User, conversation: UUID) -> Conversation:
    return get_object_or_404(conversations.of_user(user, CHATTING), pk=conversation)


def moment(text: str) -> datetime | None:
    """Returns a time of a list; None for "". Raises ValueError, also without a time zone."""
    parsed = parse_datetime(text)
    if (parsed is None and text) or (parsed and parsed.tzinfo is None):
        raise ValueError(text)
    return parsed


def as_json(content: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(content), "application/json", status)
