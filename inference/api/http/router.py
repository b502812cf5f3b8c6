"""The router of an HTTP front end, with the steps that all of its endpoints share."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from inference.api.call import Call
from inference.api.document.operation import Section
from inference.api.http import cors
from inference.api.http.request import Request
from inference.api.http.route_table import Route
from inference.api.refusals import LONGEST_NAME, REFUSALS
from inference.errors import ApiError, Headers, MethodNotAllowed, NotFound, ServerStopped
from inference.intake.answer_stream import ReaderGone
from inference.intake.context import context_of
from inference.metrics.labels import CANCELLED
from inference.tracing import attributes, spans
from inference.tracing.spans import Value
from tenants import secret_keys
from tenants.rate_limits.client_address import client_ip

log = logging.getLogger(__name__)
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
OTHER = "_OTHER"  # OpenTelemetry's word for an unknown method


@dataclass(frozen=True, slots=True)
class ErrorWriter:
    """The form of a front end's errors: before an answer, and at the end of a broken stream."""

    body: Callable[[ApiError], bytes]
    last_words: Callable[[ApiError], bytes]


class Router:
    """The ASGI application of a front end.

    `find` gives a path's route. `owns` says whether a path is the front end's own, also if nothing
    is there: then its errors are in its form. `claims` says whether a request is for it, where
    other front ends have the same path. `headers` gives what it adds to the headers of an answer,
    `document` its operations for the OpenAPI document. `greet` notes the origin of a web page.
    """

    def __init__(
        self,
        find: Callable[[str], Route | None],
        owns: Callable[[str], bool],
        errors: ErrorWriter,
        *,
        claims: Callable[[Any], bool] = lambda scope: True,
        headers: Callable[[Headers], Headers] | None = None,
        document: Callable[[], Section] | None = None,
        greet: Callable[[Request], Awaitable[None]] = cors.greet,
    ) -> None:
        self.find, self.owns, self.claims, self.document = find, owns, claims, document
        self.errors, self._headers, self._greet = errors, headers, greet

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        call = Call(context_of(scope), "", client_ip(scope))
        request = Request(scope, receive, send, call, self.errors.body, self._headers)
        call.span = spans.front(request.method, lambda name: request.header(name.encode()))
        try:
            if b"origin" in request.headers:
                await self._greet(request)
            await self._dispatch(request)
        except REFUSALS as refusal:
            await self._refuse(request, await call.refused(refusal))
        except ReaderGone:
            return
        except asyncio.CancelledError:  # this process stops
            if call.has_answer and not request.started:  # what else was begun may be done
                call.counted.refused(ServerStopped.code)
                await request.refuse(ServerStopped())
            raise
        except Exception as problem:
            log.exception("%s %s (%s)", request.method, call.route, call.request_id)
            await self._refuse(request, await call.refused(problem))
        finally:
            self._end(request)

    async def _dispatch(self, request: Request) -> None:
        route = self.find(request.path)
        if route is None:
            path = secret_keys.hidden(request.path)[:LONGEST_NAME]
            raise NotFound(f"there is no {request.method} {path}")
        request.call.route = route.template
        if view := route.view(request.method):
            return await view(request, *route.arguments)
        if request.method == "OPTIONS":
            headers = [(b"allow", route.allow.encode())]
            if b"access-control-request-method" in request.headers:
                headers += cors.preflight(request, route.allow)
            return await request.answer_empty(headers)
        raise MethodNotAllowed(route.template, route.allow)

    def _end(self, request: Request) -> None:
        request.call.release_body()
        call, method = request.call, request.method if request.method in METHODS else OTHER
        wire: dict[str, Value] = {attributes.HTTP_METHOD: method}
        if call.route:
            wire[attributes.HTTP_ROUTE] = call.route
        if call.counted.status != CANCELLED:
            wire[attributes.HTTP_STATUS] = call.counted.status
        call.end(f"{'HTTP' if method == OTHER else method} {call.route}".strip(), wire)

    async def _refuse(self, request: Request, error: ApiError) -> None:
        if not request.started:
            await request.refuse(error)
        elif not request.has_length:  # a client would take them for the rest of a file
            await request.write(self.errors.last_words(error), more=False)
