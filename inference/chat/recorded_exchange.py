"""The exchange of a request that is on record, whose process ended before it stored the exchange.

A page sends a message again under its id. The id's claim keeps it from running, and from being
billed, a second time.
"""

from hashlib import sha256

from inference.chat import exchanges, recorded_text
from inference.chat.exchanges import Exchange
from inference.chat.placement import Request
from inference.chat.problems import ChatRefused
from inference.intake.idempotency_claim import Claim
from inference.models import IdempotencyKey, Usage
from tenants.models import Member


def claim(member: Member, request: Request) -> Claim:
    return Claim(_key(request), b"", owner=member.pk)


def exchange(member: Member, request: Request) -> Exchange:
    """Store the exchange of the message's claim. Raises ChatRefused."""
    key = IdempotencyKey.objects.filter(owner=member.pk, key=_key(request)).first()
    if key is None:
        raise ChatRefused("out_of_service")
    stored = exchanges.put(member, request, key.completion_id)
    if usage := Usage.objects.filter(completion_id=key.completion_id).first():
        recorded_text.fill(stored.answer, usage)
    return stored


def _key(request: Request) -> bytes:
    return sha256(b"chat message %b" % request.message.bytes).digest()
