"""Requests of whoever has lost their access end, also where nobody waits for them any more.

The web process that waits for a request ends it within a second (intake/revocation.py). One with an
idempotency key goes on when that process has died: then this is all that ends it. Lines of batches
are the jobs process's to end, or to ask for again.
"""

import logging
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Q

from inference.current import about
from inference.models import Completion
from inference.queue import fair_queue
from inference.queue.client import client
from inference.record import closing
from inference.record.statements import Outcome
from inference.worker.restoring import YOUNG
from tenants.models import Scope
from tenants.models.tenant import State

log = logging.getLogger(__name__)
AFTER = timedelta(seconds=3)  # the web processes have ended theirs by then
BATCH = 500
BATCHES = "/v1/batches"  # the route of their lines
REVOKED = Outcome(
    state="cancelled", status=401, finish_reason="cancelled", error_code="access_revoked"
)


_MAY_ASK = [Scope.INFERENCE, Scope.BATCH]
_without_access: dict[UUID, float] = {}  # requests, since when (monotonic)


def end_revoked() -> None:
    """Those that run are told to end, and are gone at a later look. Raises redis.RedisError."""
    since = datetime.now(UTC) - AFTER
    over = Q(api_key__revoked_at__lt=since) | Q(api_key__expires_at__lt=since)
    for completion in Completion.objects.open().filter(over)[:BATCH]:
        _end(completion)
    for completion in _shut_out():
        _end(completion)


def _shut_out() -> list[Completion]:
    """Returns requests of suspended and closing tenants, of keys without their scopes, and of
    closed accounts.

    No row says since when, so each is seen here for AFTER first.
    """
    lost = ~Q(tenant__state=State.ACTIVE) | Q(member__user__is_active=False)
    lost |= Q(api_key__isnull=False) & ~Q(api_key__scopes__overlap=_MAY_ASK)
    completions = list(Completion.objects.open().exclude(route=BATCHES).filter(lost)[:BATCH])
    now = time.monotonic()
    seen = {each.id: _without_access.get(each.id, now) for each in completions}
    _without_access.clear()
    _without_access.update(seen)
    return [each for each in completions if now - seen[each.id] > AFTER.total_seconds()]


def _end(completion: Completion) -> None:
    where = client().register_script(fair_queue.CANCEL.text)(
        keys=[fair_queue.prefix(completion.queue)], args=[str(completion.id)]
    )
    on_its_way = completion.created_at > datetime.now(UTC) - YOUNG
    if where == b"running" or (where == b"gone" and on_its_way):
        return
    closing.end(completion, REVOKED)
    what = "request %s ended: whoever asked for it has lost their access"
    log.warning(what, completion.id, extra=about(completion.id, completion.tenant_id))
