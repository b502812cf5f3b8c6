"""The lane of /v1: routes, and what every endpoint has in common."""

import logging
from typing import Any

from inference import address_limit
from inference.allowed import NoSuchModel, NotAllowed
from inference.gateway import NotAdmitted, OutOfService, gateway
from inference.ledger import network
from inference.openai import limits, views
from inference.openai.errors import (
    ApiError,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Unavailable,
)
from inference.openai.http import ClientGone, Request
from tenants import secret_keys
from tenants.caller import Caller
from tenants.refusals import Refused

log = logging.getLogger(__name__)
ROUTES: dict[str, tuple[str, views.View]] = {
    "/v1/chat/completions": ("POST", views.chat_completions),
    "/v1/completions": ("POST", views.completions),
    "/v1/inference": ("POST", views.inference),
    "/v1/models": ("GET", views.models),
    "/v1/user/balance": ("GET", views.balance),
    "/user/balance": ("GET", views.balance),
}
BESIDE_V1 = ("/user/balance", "/user/balance/")  # as DeepSeek has it


async def lane(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application for paths that begin with /v1/."""
    request = Request(scope, receive, send)
    try:
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
        log.exception("%s %s", request.method, request.path)
        await _refuse(request, ApiError("something broke; it has been logged"))


async def _dispatch(request: Request) -> None:
    path = request.path.rstrip("/") or "/"
    method, view = ROUTES.get(path, ("", None))
    if view is None:
        return await _dispatch_by_id(request, path)
    if request.method != method:
        raise MethodNotAllowed(f"{path} takes {method}")
    return await view(request)


async def _dispatch_by_id(request: Request, path: str) -> None:
    if request.method == "GET" and path.startswith("/v1/models/"):
        return await views.model(request, path.removeprefix("/v1/models/"))
    if request.method == "GET" and path.startswith("/v1/completions/"):
        completion_id, _, what = path.removeprefix("/v1/completions/").partition("/")
        if what == "events":
            return await views.events(request, completion_id)
    raise NotFound(f"there is no {request.method} {secret_keys.hidden(path)}")


async def _refuse(request: Request, error: ApiError) -> None:
    if error.status in (401, 403):
        _put_on_record(request, error)
    if request.caller and not (request.address_counted_at or request.at_admission):
        error = await _charged(request, request.caller, error)
    if request.started:
        await request.write(b"data: %b\n\ndata: [DONE]\n\n" % error.body(), more=False)
    else:
        await request.refuse(error)


async def _charged(request: Request, caller: Caller, error: ApiError) -> ApiError:
    """A request that was refused before its admission is not free: it counts as one for all."""
    try:
        await address_limit.charge_unadmitted(
            gateway(), caller, request.client_ip, request.path.rstrip("/")
        )
    except NotAdmitted as refused:
        return limits.limit_reached(refused) if error.status in (400, 404) else error
    return error


def _put_on_record(request: Request, denied: ApiError) -> None:
    caller = request.caller
    who = Refused(
        caller.tenant_id if caller else None,
        caller.actor if caller else "unknown",
        request.path.rstrip("/"),
        client_net=network(request.client_ip),
    )
    gateway().refusals.denied(who, denied.status, denied.code)


def _no_such_model(unknown: NoSuchModel) -> NotFound:
    message = f"the model `{unknown.name}` does not exist; GET /v1/models lists those that do"
    return NotFound(message, code="model_not_found", param="model")
