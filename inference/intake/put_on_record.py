"""Step 4, the record: the request, its text and what it sets aside of quotas, in one commit."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
from django.db import DatabaseError

from audit.keys.keyring import Barred, Cipher, Unreadable, keyring
from audit.keys.master_keys import MasterKeyUnavailable
from audit.trail.fair_line import Row
from audit.trail.group_commit import StoreUnavailable
from inference.intake.allowed import NotAllowed
from inference.intake.claim import Claim
from inference.intake.context import Context
from inference.intake.errors import KeyTaken, OutOfService
from inference.intake.refusals import out_of_quota
from inference.intake.revocation import RESTRICTED, RESTRICTED_TEXT
from inference.order import Order
from inference.record import answered_at_once
from inference.record.statements import Outcome, encrypted_order, received_row
from tenants.quotas.verdict import Verdict, verdict

KEY_PATIENCE_S = 3.0
NO_KEY = (Unreadable, MasterKeyUnavailable)
LATE = Outcome(state="failed", status=503, finish_reason="error", error_code="recorded_late")


Settled = Callable[[Cipher], Row]


class OnRecord(msgspec.Struct, frozen=True):
    ciphertext: bytes  # of the order
    verdict: Verdict  # what the quotas say
    payload_sha256: str  # of the text on record


async def put_on_record(
    context: Context,
    order: Order,
    time_zone: str,
    claim: Claim | None = None,
    *,
    settled: Settled | None = None,
) -> OnRecord:
    """`settled`: the row of its end, where its answer is there; not with a claim, nor a large text.

    Raises NotAllowed, NotAdmitted, OutOfService; KeyTaken for a claim that comes second.
    """
    try:
        cipher = keyring.cached(order.tenant_id, order.subject_id) or await _key(order)
        ciphertext = encrypted_order(order, cipher)
        row = received_row(order, ciphertext, time_zone)
        if settled:
            both = answered_at_once.row(row, settled(cipher))
            said = verdict(await context.answered_at_once.write(both))
        else:
            said = verdict(
                await (_claimed(context, row, claim) if claim else context.received.write(row))
            )
    except Barred:  # erased since the authenticator looked
        raise NotAllowed(RESTRICTED, RESTRICTED_TEXT) from None
    except StoreUnavailable as problem:
        if problem.late:
            context.background.run(_close_late(context, order, problem.late))
        raise OutOfService(str(problem)) from None
    except (TimeoutError, psycopg.Error, DatabaseError, *NO_KEY) as problem:
        raise OutOfService(str(problem)) from None
    if said.out_of:
        context.exhausted.remember(said.out_of, asyncio.get_running_loop().time())
        raise out_of_quota(said.out_of)
    return OnRecord(ciphertext, said, row["payload_sha256"])


async def _claimed(context: Context, row: Row, claim: Claim) -> Any:
    told = await context.claimed.write(row | claim.row())
    if told is None:
        raise KeyTaken
    return told


async def _key(order: Order) -> Cipher:
    key = keyring.of_subject(order.tenant_id, order.subject_id)
    return await asyncio.wait_for(key, KEY_PATIENCE_S)


async def _close_late(context: Context, order: Order, recorded: asyncio.Future[Any]) -> None:
    """It came on record after its client had been refused: it must not run."""
    told = await recorded
    came_second = order.idempotent and told is None
    if not (came_second or verdict(told).out_of):
        await context.cancellation.settle_unstarted(order, LATE)
