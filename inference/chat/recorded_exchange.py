"""The exchange of a request that is on record, whose process ended before it stored the exchange.

A page sends a message again under its id. The id's claim keeps it from running, and from being
billed, a second time.
"""

from hashlib import sha256

from audit.keys.keyring import keyring
from inference.chat import exchanges
from inference.chat.conversations import message_aad
from inference.chat.exchanges import Exchange
from inference.chat.placement import Request
from inference.chat.problems import ChatRefused
from inference.codec.events import said_of
from inference.intake.idempotency_claim import Claim
from inference.models import IdempotencyKey, Message, Usage
from inference.reasoning import packed
from inference.record.recorded_requests import recorded_answer, recorded_order
from tenants.models import Member


def claim(member: Member, request: Request) -> Claim:
    return Claim(_key(request), b"", owner=member.pk)


def exchange(member: Member, request: Request) -> Exchange:
    """Store the exchange of the message's claim. Raises ChatRefused."""
    key = IdempotencyKey.objects.filter(owner=member.pk, key=_key(request)).first()
    if key is None:
        raise ChatRefused("out_of_service")
    stored = exchanges.put(member, request, key.completion_id)
    _fill(stored.answer)
    return stored


def _fill(answer: Message) -> None:
    """Give an answer that has ended the text that its settlement found no message for."""
    assert answer.completion_id
    usage = Usage.objects.filter(completion_id=answer.completion_id).first()
    record = recorded_order(answer.completion_id) if usage else None
    body = recorded_answer(record[1]) if record else None
    if usage is None or body is None:
        return
    text = keyring.by_id_now(answer.data_key_id).encrypt(packed(said_of(body)), message_aad(answer))
    missing = Message.objects.filter(pk=answer.pk, ciphertext=None)
    missing.update(ciphertext=text, finish_reason=usage.finish_reason)
    answer.refresh_from_db(fields=["ciphertext", "finish_reason"])


def _key(request: Request) -> bytes:
    return sha256(b"chat message %b" % request.message.bytes).digest()
