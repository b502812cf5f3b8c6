"""The page of a frozen copy. It needs no sign-in where the tenant allows links."""

import time
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from inference.chat.collection import sharing
from inference.chat.collection.markdown import heading
from inference.chat.requests.page_words import words
from inference.models import Author
from tenants.accounts.required_actions import duty
from tenants.rate_limits.client_address import seen

A_MINUTE = 60  # seconds
MOST_VIEWS = 60  # a minute, of one address


@never_cache
@require_GET
def shared(request: HttpRequest, token: str) -> HttpResponse:
    address = _address(request)  # "" behind a socket file whose proxy is not named
    if address and _too_many(address):
        return render(request, "429.html", status=429)
    user = request.user if request.user.is_authenticated else None
    if user and duty(request.session, user):
        user = None
    copy = sharing.opened(token, user)
    if copy is None and user is None:
        return redirect_to_login(request.get_full_path())  # the same for tokens that never were
    if copy is None:
        raise Http404
    answer = render(request, "chat/shared.html", {"copy": copy, "data": _data(copy)})
    answer["Referrer-Policy"] = "no-referrer"
    answer["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    return answer


def _data(copy: sharing.SharedCopy) -> Any:
    messages = [
        {
            "id": str(entry.id),
            "author": "user" if entry.author == Author.USER else "assistant",
            "heading": heading(entry),
            "text": entry.text,
        }
        for entry in copy.transcript.messages
    ]
    return {"messages": messages, "words": words()}


def _address(request: HttpRequest) -> str:
    peer, forwarded = request.META.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For")
    return seen(peer, forwarded or "", settings.WEB_PROXIES)


def _too_many(address: str) -> bool:
    """Count a view of this address. Without Redis nothing is counted: a token cannot be guessed."""
    minute = int(time.time()) // A_MINUTE
    key = sha256(f"chat share|{address}|{minute}".encode()).hexdigest()
    views = int(cache.get(key, 0)) + 1
    cache.set(key, views, A_MINUTE)
    return views > MOST_VIEWS
