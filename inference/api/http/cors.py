"""CORS (WHATWG Fetch) for web pages of other hosts that use a tenant's key.

A browser sends a preflight first, without the key. It is allowed if any open tenant allows its
page; once the key is there, its tenant's own list is checked.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.db import Error

from inference.api.http.request import Request
from inference.errors import Forbidden, Headers
from infrastructure.postgres.request_threads import in_request_thread
from tenants.caller import Caller
from tenants.models import Tenant
from tenants.scope import system_scope

CACHED_S = 5.0
PATIENCE_S = 2.0  # for a look-up; after it the last list counts
MAX_AGE_S = 600  # a browser caches the preflight for this long
_HEADER_NAMES = re.compile(r"[A-Za-z0-9_-]+(\s*,\s*[A-Za-z0-9_-]+)*")
_USUAL_HEADERS = "authorization, content-type, x-api-key, api-key, last-event-id"


async def greet(request: Request) -> None:
    """Note the origin of a browser's request. A known one may read every answer."""
    request.origin = request.header(b"origin")
    if request.origin and request.origin in await _of_tenants.now():
        admit(request)


def admit(request: Request) -> None:
    """Let the page of the request read every answer."""
    request.origin_is_known = True
    request.extra += [
        (b"access-control-allow-origin", request.origin.encode("latin-1")),
        (b"access-control-expose-headers", b"*"),
        (b"vary", b"Origin"),
    ]


def preflight(request: Request, allow: str) -> Headers:
    """Returns the headers of the answer to a preflight. Raises Forbidden."""
    if not request.origin_is_known:
        raise _forbidden(request)
    requested = request.header(b"access-control-request-headers")
    names = (
        requested
        if len(requested) < 2000 and _HEADER_NAMES.fullmatch(requested)
        else _USUAL_HEADERS
    )
    return [
        (b"access-control-allow-methods", allow.encode()),
        (b"access-control-allow-headers", names.encode()),
        (b"access-control-max-age", b"%d" % MAX_AGE_S),
    ]


def check(request: Request, caller: Caller) -> None:
    """Refuse a page that is not in the list of the caller's tenant. Raises Forbidden.

    Without a list, programs that send some Origin are accepted: a browser would have failed before.
    """
    origin = request.origin
    if not origin or origin in caller.allowed_origins or origin in settings.OWN_ORIGINS:
        return
    if request.origin_is_known or caller.allowed_origins:
        raise _forbidden(request)


def _forbidden(request: Request) -> Forbidden:
    text = f"the origin {request.origin[:200]} is not allowed; an owner of the tenant can add it to"
    return Forbidden(f"{text} the browser origins in its settings", code="origin_not_allowed")


class KnownOrigins:
    """Origins that are looked up every few seconds, and no oftener.

    An outage keeps the last ones. A PostgreSQL that hangs has one look-up at a time.
    """

    def __init__(self, look_up: Callable[[], frozenset[str]]) -> None:
        self._look_up = in_request_thread(look_up)
        self._known = frozenset[str]()
        self._looked_up_at = float("-inf")
        self._lookup: asyncio.Task[frozenset[str]] | None = None

    async def now(self) -> frozenset[str]:
        loop, lookup = asyncio.get_running_loop(), self._lookup
        is_old = loop.time() - self._looked_up_at > CACHED_S
        if lookup is None or lookup.get_loop() is not loop or (is_old and lookup.done()):
            self._looked_up_at = loop.time()
            self._lookup = lookup = loop.create_task(self._look_up())
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                self._known = await asyncio.shield(lookup)
        return self._known


def _tenants_origins() -> frozenset[str]:
    """Returns the origins of all open tenants."""
    with system_scope():
        lists = Tenant.objects.open().exclude(allowed_origins=[])
        values = lists.values_list("allowed_origins", flat=True)
        return frozenset(origin for origins in values for origin in origins)


_of_tenants = KnownOrigins(_tenants_origins)
