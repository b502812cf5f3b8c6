"""Step 2, admission: all limits together, and the quotas that are known to be used up."""

import asyncio

import msgspec
from django.conf import settings

from inference.intake.context import Context
from inference.intake.errors import NotAdmitted
from inference.intake.refusals import out_of_quota
from inference.intake.submission import Submission
from inference.order import Order
from inference.record import limit_usage
from tenants.rate_limits.admission import Admission, Ask


class Admitted(msgspec.Struct, frozen=True):
    admission: Admission
    ask: Ask
    counted_at: int  # for `undo`


async def admit(context: Context, submission: Submission, order: Order) -> Admitted:
    """Charge all limits. Raises NotAdmitted."""
    now = asyncio.get_running_loop().time()
    if quota := context.exhausted.refusal(submission.caller, order.model, order.charge, now):
        raise out_of_quota(quota)
    ask = Ask.of(
        submission.caller,
        str(order.id),
        client_ip=submission.client_ip,
        per_address=settings.IP_PER_MINUTE,
        tokens=limit_usage.reserved_tokens(order),
        hold_s=limit_usage.hold_s(order),
        takes_slot=limit_usage.takes_slot(order.klass, order.route),
        address_counted_at=submission.address_counted_at,
        size=len(submission.body),
    )
    admission, counted_at = await context.rate_limiter.admit(ask)
    if admission.tier:
        raise NotAdmitted(admission)
    return Admitted(admission, ask, counted_at)


def undo(context: Context, admitted: Admitted) -> None:
    """Take the charge of a request back that was refused later. Does not wait."""
    context.background.run(context.rate_limiter.undo(admitted.ask, admitted.counted_at))
