"""One kept answer: a ciphertext under the key of whoever asked for it first.

That key hangs under the tenant's: destroyed with its person, it takes their answers along,
wherever a copy lies. The ciphertext is bound to its tenant and its name, so that whatever somebody
does to the bytes in Redis, it opens in its own place or nowhere.
"""

import time
from uuid import UUID

import msgspec

from audit.keys.keyring import Cipher, Unreadable, keyring
from inference.order import Order
from inference.record.statements import Outcome

LARGEST = 256 * 1024  # bytes of an answer
ENDS = ("stop", "length", "tool_calls")  # with any other one it is not kept


class Answer(msgspec.Struct, frozen=True, array_like=True):
    body: bytes  # whole, in OpenAI's form, as the record keeps it
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    until: float  # seconds since the epoch


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode


def kept(outcome: Outcome, until: float) -> Answer | None:
    """None for one that is not worth keeping, or no answer."""
    good = outcome.state == "done" and not outcome.error_code
    if not (good and outcome.finish_reason in ENDS and 0 < len(outcome.response) <= LARGEST):
        return None
    counts = outcome.prompt_tokens, outcome.completion_tokens
    return Answer(outcome.response, outcome.finish_reason, *counts, until)


def encrypted(answer: Answer, order: Order, cipher: Cipher) -> bytes:
    """Key id (16 bytes) and ciphertext."""
    return cipher.key_id.bytes + cipher.encrypt(
        _encode(answer), _aad(order.tenant_id, order.cached)
    )


async def opened(data: bytes, tenant_id: UUID, name: bytes) -> Answer | None:
    """None for what was not kept here under this name, is over, or whose key has gone.

    Raises DatabaseError, MasterKeyUnavailable.
    """
    try:
        cipher = await keyring.by_id(UUID(bytes=data[:16]))
        answer = _decode(cipher.decrypt(data[16:], _aad(tenant_id, name)))
    except (Unreadable, ValueError, msgspec.DecodeError):
        return None
    return answer if answer.until > time.time() else None


def _aad(tenant_id: UUID, name: bytes) -> bytes:
    return b"inference_cache|%b|%b" % (tenant_id.bytes, name)
