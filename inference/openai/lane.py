"""The lane of /v1: routes, and what every endpoint has in common."""

import logging
import math
from typing import Any

from inference.gateway import NotAdmitted, OutOfService
from inference.openai import views
from inference.openai.errors import (
    ApiError,
    LimitReached,
    MethodNotAllowed,
    NotFound,
    Unavailable,
)
from inference.openai.http import ClientGone, Request

log = logging.getLogger(__name__)
ROUTES: dict[str, tuple[str, views.View]] = {
    "/v1/chat/completions": ("POST", views.chat_completions),
    "/v1/completions": ("POST", views.completions),
    "/v1/inference": ("POST", views.inference),
    "/v1/models": ("GET", views.models),
}
_TIERS = {
    "ip": "this address sent more than {limit} requests in a minute",
    "rate": "this tenant's {limit} requests per minute are used up",
    "concurrency": "{limit} requests of this tenant are running, which is the most at once",
}


async def lane(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application for paths that begin with /v1/."""
    request = Request(scope, receive, send)
    try:
        await _dispatch(request)
    except ApiError as error:
        await _refuse(request, error)
    except NotAdmitted as refused:
        await _refuse(request, _limit_reached(refused))
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
    raise NotFound(f"there is no {request.method} {path}")


async def _refuse(request: Request, error: ApiError) -> None:
    if request.started:
        await request.write(b"data: %b\n\ndata: [DONE]\n\n" % error.body(), more=False)
    else:
        await request.refuse(error)


def _limit_reached(refused: NotAdmitted) -> LimitReached:
    admission = refused.admission
    seconds = max(1, math.ceil(admission.frees_in_ms / 1000))
    message = _TIERS[admission.tier].format(limit=admission.limit)
    error = LimitReached(f"{message}; try again in {seconds} s", retry_after=seconds)
    error.extra = [
        (b"x-ratelimit-scope", admission.tier.encode()),
        (b"x-ratelimit-limit-requests", b"%d" % admission.limit),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"%dms" % admission.frees_in_ms),
        (b"retry-after-ms", b"%d" % admission.frees_in_ms),
    ]
    return error
