"""Ends requests of callers that have lost their access, if no web process does.

The web process that waits for a request ends it within a second (intake/access/revocation.py). One
with an idempotency key goes on when that process dies: then only this ends it. The jobs process
ends or retries lines of batches.
"""

import logging
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Q

from inference.log_context import about
from inference.models import Completion
from inference.queue import fair_queue
from inference.queue.client import client
from inference.record import settle_unrun
from inference.record.statements import Outcome
from inference.worker.recovery.restoring import YOUNG
from tenants.models import Scope
from tenants.models.tenant import State

log = logging.getLogger(__name__)
AFTER = timedelta(seconds=3)  # web processes have ended theirs by then
BATCH = 500
BATCHES = "/v1/batches"  # the route of their lines
REVOKED = Outcome(
    state="cancelled", status=401, finish_reason="cancelled", error_code="access_revoked"
)


_MAY_ASK = [Scope.INFERENCE, Scope.BATCH]
_without_access: dict[UUID, float] = {}  # requests, since when (monotonic)


def end_revoked() -> None:
    """End them. Running ones are told to end, and are gone at a later call.

    Raises redis.RedisError.
    """
    since = datetime.now(UTC) - AFTER
    over = Q(api_key__revoked_at__lt=since) | Q(api_key__expires_at__lt=since)
    for completion in Completion.objects.open().filter(over)[:BATCH]:
        _end(completion)
    for completion in _without_valid_access():
        _end(completion)


def _without_valid_access() -> list[Completion]:
    """Returns requests without access: of suspended or closing tenants, and of closed accounts.

    Requests of keys without their scopes count, too. No row has the time of the loss, so each is
    observed here for AFTER first.
    """
    lost = ~Q(tenant__state=State.ACTIVE) | Q(member__user__is_active=False)
    lost |= Q(api_key__isnull=False) & ~Q(api_key__scopes__overlap=_MAY_ASK)
    completions = list(Completion.objects.open().exclude(route=BATCHES).filter(lost)[:BATCH])
    now = time.monotonic()
    since = {each.id: _without_access.get(each.id, now) for each in completions}
    _without_access.clear()
    _without_access.update(since)
    return [each for each in completions if now - since[each.id] > AFTER.total_seconds()]


def _end(completion: Completion) -> None:
    where = client().register_script(fair_queue.CANCEL.text)(
        keys=[fair_queue.prefix(completion.queue)], args=[str(completion.id)]
    )
    on_its_way = completion.created_at > datetime.now(UTC) - YOUNG
    if where == b"running" or (where == b"gone" and on_its_way):
        return
    settle_unrun.end(completion, REVOKED)
    what = "request %s ended: whoever asked for it has lost their access"
    log.warning(what, completion.id, extra=about(completion.id, completion.tenant_id))
