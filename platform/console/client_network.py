"""Middleware that adds the client's network to everything put on record during a request.

X-Forwarded-Proto is dropped if the peer is no proxy of ours: clear text would look like TLS.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from audit.trail.request_origin import acting_from
from audit.trail.truncated_address import network
from tenants.rate_limits.client_address import plain_or_none, seen


class ClientNetwork:
    """Comes first in the middleware, so that the acts of the others carry the network too."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response, self._async = get_response, iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if plain_or_none(request.META.get("REMOTE_ADDR", "")) not in settings.WEB_PROXIES:
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        if self._async:
            return self._call_async(request)
        with acting_from(network(client_ip(request))):
            answer: HttpResponseBase = self._get_response(request)
            return answer

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        with acting_from(network(client_ip(request))):
            answer: HttpResponseBase = await self._get_response(request)
            return answer


def client_ip(request: HttpRequest) -> str:
    peer = request.META.get("REMOTE_ADDR", "")
    return seen(peer, request.headers.get("X-Forwarded-For", ""), settings.WEB_PROXIES)
