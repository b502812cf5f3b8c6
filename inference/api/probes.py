"""Health checks: /livez touches nothing, /readyz checks all that the process depends on.

With `?without=engines` it is ready even if no engine answers. Load balancers for people use that:
then they reach the console, and errors that explain the fault.
"""

from typing import Any

import orjson

from inference.api import readiness
from inference.api.http.request import Request
from inference.errors import MethodNotAllowed
from inference.intake.context import context_of

PATHS = frozenset({"/livez", "/readyz", "/health"})  # the last is that of vLLM and llama.cpp


async def probe(scope: Any, receive: Any, send: Any) -> None:
    request = Request(scope, receive, send)
    if request.method not in ("GET", "HEAD"):
        return await request.refuse(MethodNotAllowed(request.path, "GET, HEAD"))
    if request.path == "/livez":
        return await request.answer(b'{"alive":true}')
    context = context_of(scope)
    checks = await readiness.recent(context)
    left_out = "engines" if request.query == b"without=engines" else ""
    ready = all(up for name, up in checks.items() if name != left_out)
    limits = {"alone": context.limits.rate.alone, "outages": context.limits.rate.outages}
    body = orjson.dumps({"ready": ready, "checks": checks, "limits": limits})
    return await request.answer(body, 200 if ready else 503)
