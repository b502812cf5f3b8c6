"""What is put on record while a page or the management API answers carries the client's network.

Of a peer that is no named proxy, X-Forwarded-Proto is taken away: it would say that a request in
clear came over TLS.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from audit.trail.acting_from import acting_from
from audit.trail.network import network
from tenants.rate_limits.client_address import plain_or_none, seen


class ClientNetwork:
    """The first of the middleware, so that the others' acts carry it too."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response, self._async = get_response, iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if plain_or_none(request.META.get("REMOTE_ADDR", "")) not in settings.WEB_PROXIES:
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        if self._async:
            return self._later(request)
        with acting_from(network(client_ip(request))):
            answer: HttpResponseBase = self._get_response(request)
            return answer

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        with acting_from(network(client_ip(request))):
            answer: HttpResponseBase = await self._get_response(request)
            return answer


def client_ip(request: HttpRequest) -> str:
    peer = request.META.get("REMOTE_ADDR", "")
    return seen(peer, request.headers.get("X-Forwarded-For", ""), settings.WEB_PROXIES)
