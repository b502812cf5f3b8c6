"""The router of the inference API: what every endpoint has in common."""

import logging
from typing import Any

from inference.api.call import Call
from inference.api.openai import cors, routes
from inference.api.openai.http import Request
from inference.api.refusing import LONGEST_NAME, REFUSALS
from inference.errors import ApiError, MethodNotAllowed, NotFound
from inference.intake.answer_stream import ReaderGone
from inference.intake.context import context_of
from tenants import secret_keys
from tenants.rate_limits.client_address import client_ip

log = logging.getLogger(__name__)


async def router(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application for the paths that `routes.owns`."""
    call = Call(context_of(scope), "", client_ip(scope))
    request = Request(scope, receive, send, call)
    try:
        if b"origin" in request.headers:
            await cors.greet(request)
        await _dispatch(request)
    except REFUSALS as refusal:
        await _refuse(request, await call.refused(refusal))
    except ReaderGone:
        return
    except Exception as problem:
        log.exception("%s %s (%s)", request.method, call.route, call.request_id)
        await _refuse(request, await call.refused(problem))


async def _dispatch(request: Request) -> None:
    route = routes.find(request.path)
    if route is None:
        path = secret_keys.hidden(request.path)[:LONGEST_NAME]
        raise NotFound(f"there is no {request.method} {path}")
    request.call.route = route.template
    if request.method == route.method or (request.method == "HEAD" and route.method == "GET"):
        return await route.view(request, *route.arguments)
    if request.method == "OPTIONS":
        headers = [(b"allow", route.allow.encode())]
        if b"access-control-request-method" in request.headers:
            headers += cors.preflight(request, route.allow)
        return await request.answer_empty(headers)
    raise MethodNotAllowed(route.template, route.allow)


async def _refuse(request: Request, error: ApiError) -> None:
    if request.started:
        await request.write(b"data: %b\n\ndata: [DONE]\n\n" % error.body(), more=False)
    else:
        await request.refuse(error)
