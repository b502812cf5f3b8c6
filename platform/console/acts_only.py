"""Addresses that act and show nothing: a form is sent there, and nobody can go there.

What was wrong in a form is shown at such an address too. So who has to go away from it, to prove
who they are or to sign in, comes back to the page that it belongs to: the nearest one above it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import Resolver404, resolve
from django.views.decorators.http import require_POST as post_only

_MARK = "acts_only"  # on a view; decorators above it hand it on


def require_POST(view: Callable[..., Any]) -> Callable[..., HttpResponseBase]:
    """Django's, with a mark by which `page_of` knows it. A browser that reloads the address, after
    a form that came back with errors, gets the page above it.
    """
    acting: Callable[..., HttpResponseBase] = post_only(view)

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
            return HttpResponseRedirect(page_of(request.path))
        return acting(request, *args, **kwargs)

    setattr(checked, _MARK, True)
    return checked


def page_of(address: str) -> str:
    """The address itself, where it shows something; else the page above it. Only of this site."""
    path = urlsplit(address).path
    if _shows(path):
        return address
    while not _shows(path):
        path = path.rstrip("/").rpartition("/")[0] + "/"
    return path


def _shows(path: str) -> bool:
    try:
        return path == "/" or not getattr(resolve(path).func, _MARK, False)
    except Resolver404:
        return False
