"""Pages of other hosts that ask with a tenant's key: CORS (WHATWG Fetch).

A browser asks first, without the key. It is told that it may where any open tenant allows its page;
whether the tenant of the key does is checked once the key is there.
"""

import asyncio
import re
from contextlib import suppress

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error

from inference.api.http.request import Request
from inference.errors import Forbidden, Headers
from tenants.caller import Caller
from tenants.models import Tenant
from tenants.scope import system_scope

KEPT_S = 5.0
MAX_AGE_S = 600  # so long a browser need not ask again
_HEADER_NAMES = re.compile(r"[A-Za-z0-9-]+(\s*,\s*[A-Za-z0-9-]+)*")
_USUAL_HEADERS = "authorization, content-type, x-api-key, api-key, last-event-id"


async def greet(request: Request) -> None:
    """Notes where a browser's request comes from; its page may read whatever is answered."""
    request.origin = request.header(b"origin")
    if request.origin and request.origin in await _of_all():
        request.origin_is_known = True
        request.extra += [
            (b"access-control-allow-origin", request.origin.encode("latin-1")),
            (b"access-control-expose-headers", b"*"),
            (b"vary", b"Origin"),
        ]


def preflight(request: Request, allow: str) -> Headers:
    """Of the answer to a browser that asks first. Raises Forbidden."""
    if not request.origin_is_known:
        raise _forbidden(request)
    asked = request.header(b"access-control-request-headers")
    names = asked if len(asked) < 2000 and _HEADER_NAMES.fullmatch(asked) else _USUAL_HEADERS
    return [
        (b"access-control-allow-methods", allow.encode()),
        (b"access-control-allow-headers", names.encode()),
        (b"access-control-max-age", b"%d" % MAX_AGE_S),
    ]


def check(request: Request, caller: Caller) -> None:
    """Raises Forbidden for a page that only other tenants allow, or that this one's list has not.

    Without a list, programs that send some Origin of their own are as welcome as ever: a browser
    would not have come this far.
    """
    origin = request.origin
    if not origin or origin in caller.allowed_origins or origin in settings.OWN_ORIGINS:
        return
    if request.origin_is_known or caller.allowed_origins:
        raise _forbidden(request)


def _forbidden(request: Request) -> Forbidden:
    text = f"the origin {request.origin[:200]} is not allowed; an owner of the tenant can add it to"
    return Forbidden(f"{text} the browser origins in its settings", code="origin_not_allowed")


_known: frozenset[str] = frozenset()
_asked_at = float("-inf")
_asking: asyncio.Task[frozenset[str]] | None = None


async def _of_all() -> frozenset[str]:
    """Of all open tenants, as of the last seconds; a database that is away changes nothing."""
    global _known, _asked_at, _asking
    loop = asyncio.get_running_loop()
    if _asking is None or _asking.get_loop() is not loop or loop.time() - _asked_at > KEPT_S:
        _asked_at, _asking = loop.time(), loop.create_task(_look_up())
    with suppress(Error):
        _known = await asyncio.shield(_asking)
    return _known


@database_sync_to_async
def _look_up() -> frozenset[str]:
    with system_scope():
        lists = Tenant.objects.open().exclude(allowed_origins=[])
        found = lists.values_list("allowed_origins", flat=True)
        return frozenset(origin for origins in found for origin in origins)
