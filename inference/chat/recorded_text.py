"""The text of an answer that ended before its message was stored.

Its settlement, which stores texts, found no message: the process was slow, as during a switch-over
of PostgreSQL, or had died, and the request was queued again meanwhile. The record has the text.
"""

from contextlib import suppress

from audit.keys.keyring import Unreadable, keyring
from inference.chat.conversations import message_aad
from inference.codec.events import said_of
from inference.models import Message, Usage
from inference.reasoning import packed
from inference.record.recorded_requests import recorded_answer, recorded_order


def fill(answer: Message, usage: Usage) -> None:
    """Give an answer that has ended its text, if the record has one."""
    record = recorded_order(usage.completion_id)
    body = recorded_answer(record[1]) if record else None
    if body is None:
        return
    with suppress(Unreadable):  # its person has been erased
        cipher = keyring.by_id_now(answer.data_key_id)
        text = cipher.encrypt(packed(said_of(body)), message_aad(answer))
        missing = Message.objects.filter(pk=answer.pk, ciphertext=None)
        missing.update(ciphertext=text, finish_reason=usage.finish_reason)
        answer.refresh_from_db(fields=["ciphertext", "finish_reason"])
