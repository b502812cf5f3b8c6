"""A cached answer: a ciphertext under the key of the person who asked for it first.

That key is destroyed with its person, and makes every copy of the answer unreadable. The ciphertext
is bound to its tenant and its name, so that bytes that somebody moves in Redis cannot be decrypted
in another place.
"""

import time
from uuid import UUID

import msgspec

from audit.keys.keyring import Cipher, Unreadable, keyring
from inference.order import Order
from inference.record.outcome import Outcome

LARGEST = 256 * 1024  # bytes of an answer
ENDS = ("stop", "length", "tool_calls")  # an answer with another one is not cached


class CachedAnswer(msgspec.Struct, frozen=True, array_like=True):
    body: bytes  # whole, in OpenAI's form, as the record stores it
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    until: float  # seconds since the epoch


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CachedAnswer).decode


def cacheable(outcome: Outcome, until: float) -> CachedAnswer | None:
    """Returns the answer to cache; None if it failed, or is empty or too large."""
    succeeded = outcome.state == "done" and not outcome.error_code
    if not (succeeded and outcome.finish_reason in ENDS and 0 < len(outcome.response) <= LARGEST):
        return None
    counts = outcome.prompt_tokens, outcome.completion_tokens
    return CachedAnswer(outcome.response, outcome.finish_reason, *counts, until)


def encrypted(answer: CachedAnswer, order: Order, cipher: Cipher) -> bytes:
    """Returns key id (16 bytes) and ciphertext."""
    return cipher.key_id.bytes + cipher.encrypt(
        _encode(answer), _aad(order.tenant_id, order.cached)
    )


async def opened(data: bytes, tenant_id: UUID, name: bytes) -> CachedAnswer | None:
    """Returns the answer; None if it has another name, is over, or its key is destroyed.

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
