"""The router of the inference API: what every endpoint has in common."""

import logging
from typing import Any

from inference.api import limits
from inference.api.openai import cors, routes
from inference.api.openai.http import Request
from inference.api.refusing import LONGEST_NAME, REFUSALS, as_error, is_on_record
from inference.errors import ApiError, MethodNotAllowed, NotFound
from inference.intake import address_limit
from inference.intake.answer_stream import ReaderGone
from inference.intake.errors import NotAdmitted
from inference.intake.refusals import denied
from tenants import secret_keys
from tenants.caller import Caller

log = logging.getLogger(__name__)


async def router(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application for the paths that `routes.owns`."""
    request = Request(scope, receive, send)
    try:
        if b"origin" in request.headers:
            await cors.greet(request)
        await _dispatch(request)
    except REFUSALS as refusal:
        error = as_error(refusal)
        request.caller = request.caller or error.caller
        if is_on_record(refusal, error):
            _put_on_record(request, error)
        await _refuse(request, error)
    except ReaderGone:
        return
    except Exception as problem:
        log.exception("%s %s (%s)", request.method, request.route, request.known_as)
        await _refuse(request, as_error(problem))


async def _dispatch(request: Request) -> None:
    route = routes.find(request.path)
    if route is None:
        path = secret_keys.hidden(request.path)[:LONGEST_NAME]
        raise NotFound(f"there is no {request.method} {path}")
    request.route = route.template
    if request.method == route.method or (request.method == "HEAD" and route.method == "GET"):
        return await route.view(request, *route.arguments)
    if request.method == "OPTIONS":
        headers = [(b"allow", route.allow.encode())]
        if b"access-control-request-method" in request.headers:
            headers += cors.preflight(request, route.allow)
        return await request.answer_empty(headers)
    raise MethodNotAllowed(route.template, route.allow)


async def _refuse(request: Request, error: ApiError) -> None:
    if request.caller and not request.started:
        error = await _with_limits(request, request.caller, error)
    if request.started:
        await request.write(b"data: %b\n\ndata: [DONE]\n\n" % error.body(), more=False)
    else:
        told = {name for name, _ in error.extra}
        request.extra = [line for line in request.extra if line[0] not in told]
        await request.refuse(error)


async def _with_limits(request: Request, caller: Caller, error: ApiError) -> ApiError:
    """And what they leave. Refused before its admission, a request counts for all: it was work."""
    told = {name for name, _ in (*request.extra, *error.extra)}
    try:
        if not (request.address_counted_at or request.at_admission):
            left = await address_limit.charge_unadmitted(
                request.context, caller, request.client_ip, request.route
            )
        elif told & _LIMITS:
            return error
        else:
            counted_at = request.address_counted_at or ELSEWHERE
            left = await address_limit.look(
                request.context, caller, request.client_ip, request.route, counted_at
            )
    except NotAdmitted as refused:
        if error.status in (400, 404):
            return limits.limit_reached(refused)
        left = refused.admission
    request.extra += [line for line in limits.headers(left) if line[0] not in told]
    return error


_LIMITS = {b"x-ratelimit-limit-requests", b"x-ratelimit-limit-tokens"}
ELSEWHERE = 1  # the address was charged at the admission


def _put_on_record(request: Request, error: ApiError) -> None:
    denied(
        request.context,
        request.caller,
        request.route,
        request.client_ip,
        status=error.status,
        code=error.code,
    )
