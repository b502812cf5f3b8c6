"""Requests whose API key was revoked or has expired end, also where nobody waits for them any more.

The web process that waits for a request ends it within a second (intake/revocation.py). One with an
idempotency key goes on when that process has died: then this is all that ends it.
"""

import logging
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from inference.current import about
from inference.models import Completion
from inference.queue import fair_queue
from inference.queue.client import client
from inference.record import closing
from inference.record.statements import Outcome
from inference.worker.restoring import YOUNG

log = logging.getLogger(__name__)
AFTER = timedelta(seconds=3)  # the web processes have ended theirs by then
BATCH = 500
REVOKED = Outcome(
    state="cancelled", status=401, finish_reason="cancelled", error_code="access_revoked"
)


def end_revoked() -> None:
    """Those that run are told to end, and are gone at a later look. Raises redis.RedisError."""
    since = datetime.now(UTC) - AFTER
    over = Q(api_key__revoked_at__lt=since) | Q(api_key__expires_at__lt=since)
    for completion in Completion.objects.open().filter(over)[:BATCH]:
        _end(completion)


def _end(completion: Completion) -> None:
    where = client().register_script(fair_queue.CANCEL.text)(
        keys=[fair_queue.prefix(completion.queue)], args=[str(completion.id)]
    )
    on_its_way = completion.created_at > datetime.now(UTC) - YOUNG
    if where == b"running" or (where == b"gone" and on_its_way):
        return
    closing.end(completion, REVOKED)
    what = "request %s ended: its key was revoked or has expired"
    log.warning(what, completion.id, extra=about(completion.id, completion.tenant_id))
