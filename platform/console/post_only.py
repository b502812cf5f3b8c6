"""Addresses that accept only POST: forms are sent there, and nobody opens them.

Errors of a form are shown at such an address too. So people who leave it, to prove their identity
or to sign in, come back to the page to which it belongs: the nearest one above it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import Resolver404, resolve
from django.views.decorators.http import require_POST as post_only

_MARK = "acts_only"  # an attribute of the view, which `wraps` of further decorators copies


def require_POST(view: Callable[..., Any]) -> Callable[..., HttpResponseBase]:
    """Django's decorator, with a mark for `page_of`.

    A browser that reloads the address, after errors in a form, is redirected to the page above it.
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
    """Returns the address, or the page above it where it accepts only POST. Only for this site."""
    path = urlsplit(address).path
    if _is_page(path):
        return address
    while not _is_page(path):
        path = path.rstrip("/").rpartition("/")[0] + "/"
    return path


def _is_page(path: str) -> bool:
    try:
        return path == "/" or not getattr(resolve(path).func, _MARK, False)
    except Resolver404:
        return False
