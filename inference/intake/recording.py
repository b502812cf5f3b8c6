"""Step 5, the record: the request, its text and its quota reservation, in one commit."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
from django.db import DatabaseError

from audit.keys import stored_keys
from audit.keys.keyring import Barred, Cipher, Unreadable, keyring
from audit.keys.master_keys.errors import MasterKeyUnavailable
from audit.trail.commit_queue import Row
from audit.trail.group_commit import StoreUnavailable
from inference.intake.access.allowed import NotAllowed
from inference.intake.access.revocation import RESTRICTED, RESTRICTED_TEXT
from inference.intake.context import Context
from inference.intake.errors import KeyTaken, OutOfService
from inference.intake.idempotency_claim import Claim
from inference.intake.refusals import out_of_quota
from inference.order import Order
from inference.record import commits
from inference.record.outcome import Outcome
from inference.record.request_rows import encrypted_order, received_row
from tenants.quotas.ledger_answer import Verdict, verdict

KEY_PATIENCE_S = 3.0
NO_KEY = (Unreadable, MasterKeyUnavailable)
LATE = Outcome(state="failed", status=503, finish_reason="error", error_code="recorded_late")


Settled = Callable[[Cipher], Row]


class OnRecord(msgspec.Struct, frozen=True):
    ciphertext: bytes  # of the order
    verdict: Verdict  # of the quotas
    payload_sha256: str  # of the recorded text


async def put_on_record(
    context: Context,
    order: Order,
    time_zone: str,
    claim: Claim | None = None,
    *,
    settled: Settled | None = None,
) -> OnRecord:
    """Record a request. `settled` makes the row of its end, if its answer is there already.

    It cannot be used together with a claim, nor for a large text.

    Raises NotAllowed, NotAdmitted, OutOfService; KeyTaken for a claim that comes second.
    """
    try:
        cipher = keyring.cached(order.tenant_id, order.subject_id) or await _key(context, order)
        ciphertext = encrypted_order(order, cipher)
        row = received_row(order, ciphertext, time_zone)
        if settled:
            both = commits.row_of_both(row, settled(cipher))
            answer = await context.commits.recorded_and_settled.write(both)
        elif claim:
            answer = await context.commits.claimed.write(row | claim.row())
            if answer is None:
                raise KeyTaken
        else:
            answer = await context.commits.received.write(row)
        decision = verdict(answer)
    except Barred:  # erased since the authentication
        raise NotAllowed(RESTRICTED, RESTRICTED_TEXT) from None
    except StoreUnavailable as problem:
        if problem.late:
            context.background.run(_close_late(context, order, problem.late))
        raise OutOfService(str(problem)) from None
    except (TimeoutError, psycopg.Error, DatabaseError, *NO_KEY) as problem:
        raise OutOfService(str(problem)) from None
    if decision.out_of:
        now = asyncio.get_running_loop().time()
        context.quotas.exhausted.remember(decision.out_of, now, order.session)
        raise out_of_quota(decision.out_of)
    return OnRecord(ciphertext, decision, row["payload_sha256"])


async def _key(context: Context, order: Order) -> Cipher:
    key = stored_keys.of_subject(context.lookups, order.tenant_id, order.subject_id)
    return await asyncio.wait_for(key, KEY_PATIENCE_S)


async def _close_late(context: Context, order: Order, recorded: asyncio.Future[Any]) -> None:
    """Settle a request as not run that was recorded after its client had been refused."""
    answer = await recorded
    came_second = order.idempotent and answer is None
    if not (came_second or verdict(answer).out_of):
        await context.cancellation.settle_unstarted(order, LATE)
