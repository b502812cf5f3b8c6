"""The router of the inference API: what every endpoint has in common."""

import logging
from typing import Any

from inference.api.openai import cors, limits, routes
from inference.api.openai.http import ClientGone, Request
from inference.errors import ApiError, Forbidden, MethodNotAllowed, NotFound, Unavailable
from inference.intake import address_limit
from inference.intake.allowed import NoSuchModel, NotAllowed
from inference.intake.gateway import NotAdmitted, OutOfService, gateway
from inference.record.ledger import network
from tenants import secret_keys
from tenants.caller import Caller
from tenants.refusals.recorder import Refused

log = logging.getLogger(__name__)
LONGEST_NAME = 120  # of what does not exist, as it is told back


async def router(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application for the paths that `routes.owns`."""
    request = Request(scope, receive, send)
    try:
        if b"origin" in request.headers:
            await cors.greet(request)
        await _dispatch(request)
    except ApiError as error:
        await _refuse(request, error)
    except NotAllowed as refused:
        await _refuse(request, Forbidden(refused.message, code=refused.code))
    except NoSuchModel as unknown:
        not_found = _no_such_model(unknown)
        if unknown.hidden:
            _put_on_record(request, not_found)
        await _refuse(request, not_found)
    except NotAdmitted as refused:
        await _refuse(request, limits.limit_reached(refused))
    except OutOfService as problem:
        log.warning("out of service: %s", problem)
        message = "the platform cannot take requests right now; try again"
        await _refuse(request, Unavailable(message, retry_after=2))
    except ClientGone:
        return
    except Exception:
        log.exception("%s %s (%s)", request.method, request.route, request.known_as)
        await _refuse(request, ApiError("something broke; it has been logged"))


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
    if error.status in (401, 403):
        _put_on_record(request, error)
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
                gateway(), caller, request.client_ip, request.route
            )
        elif told & _LIMITS:
            return error
        else:
            counted_at = request.address_counted_at or ELSEWHERE
            left = await address_limit.look(
                gateway(), caller, request.client_ip, request.route, counted_at
            )
    except NotAdmitted as refused:
        if error.status in (400, 404):
            return limits.limit_reached(refused)
        left = refused.admission
    request.extra += [line for line in limits.headers(left) if line[0] not in told]
    return error


_LIMITS = {b"x-ratelimit-limit-requests", b"x-ratelimit-limit-tokens"}
ELSEWHERE = 1  # the address was charged at the admission


def _put_on_record(request: Request, denied: ApiError) -> None:
    caller = request.caller
    who = Refused(
        caller.tenant_id if caller else None,
        caller.actor if caller else "unknown",
        request.route,
        client_net=network(request.client_ip),
    )
    gateway().refusals.denied(who, denied.status, denied.code)


def _no_such_model(unknown: NoSuchModel) -> NotFound:
    name = unknown.name if len(unknown.name) <= LONGEST_NAME else f"{unknown.name[:LONGEST_NAME]}…"
    message = f"the model `{name}` does not exist; GET /v1/models lists those that do"
    return NotFound(message, code="model_not_found", param="model")
