"""Callers of pages, as far as this process knows them without looking anybody up.

A session or a key counts as known once a page has been answered for it here: what a client sends
without that is a claim. It decides in which lane the page waits (turns.py) and nothing else.
"""

import hashlib
import time
from collections import OrderedDict
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError
from django.http import parse_cookie

KNOWN_S, MOST_KNOWN = 900.0, 10_000


class Callers:
    """The known callers. Threads of pages write them, the event loop reads them."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def known(self, scope: Any) -> str:
        """Returns the caller's name: a person's, or that of a key's tenant. "" for a stranger."""
        name, until = self._known.get(_credential(scope), ("", 0.0))
        return name if time.monotonic() < until else ""

    def note(self, request: ASGIRequest) -> None:
        """Remember the caller of an answered page, or forget the credential if nobody signed in."""
        key = getattr(getattr(request, "auth", None), "key", None)
        self.remember(request.scope, getattr(request, "user", None), key)

    def remember(self, scope: Any, user: Any, key: Any = None) -> None:
        credential, name = _credential(scope), _name(user, key)
        self._known.pop(credential, None)
        if credential and name:
            self._known[credential] = name, time.monotonic() + KNOWN_S
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)


def _name(user: Any, key: Any) -> str:
    if key:
        return f"tenant/{key.tenant_id}"
    try:
        return f"person/{user.pk}" if user and user.is_authenticated else ""
    except DatabaseError:
        return ""


def _credential(scope: Any) -> bytes:
    """Returns a digest of what the client shows; b"" for nothing."""
    headers = scope["headers"]
    key = b",".join(value for name, value in headers if name == b"authorization")
    cookies = b"; ".join(value for name, value in headers if name == b"cookie").decode("latin-1")
    session = ""
    if settings.SESSION_COOKIE_NAME in cookies:
        session = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME, "")
    if not (key or session):
        return b""
    return hashlib.sha256(key + b"\0" + session.encode("latin-1", "replace")).digest()
