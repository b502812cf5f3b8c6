"""Reads the audit trail's decrypted payloads, for those who may see them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import orjson

from audit.search.texts import DecryptedText, additions, register_reader
from inference.chat.collection.rating import reason_of
from inference.models import Message
from inference.order import unpacked


def register() -> None:
    register_reader("request", _request)
    register_reader("response", lambda clear: DecryptedText(words(clear)))
    if _ratings not in additions:
        additions.append(_ratings)


def _ratings(tenant_id: UUID, request_id: UUID) -> Iterator[tuple[str, datetime, DecryptedText]]:
    """Yields the reason with which a person rated the answer in the chat."""
    rows = Message.objects.filter(tenant_id=tenant_id, completion_id=request_id)
    for message in rows.exclude(rating_ciphertext=None):
        assert message.rated_at
        yield "rating", message.rated_at, DecryptedText(reason_of(message))


def _request(clear: bytes) -> DecryptedText:
    try:
        order = unpacked(clear)
    except (msgspec.MsgspecError, ValueError):
        return DecryptedText(clear.decode(errors="replace"))  # of acts, and of earlier versions
    return DecryptedText(words(order.body), order.client_ip)


def words(body: bytes) -> str:
    """Returns the words of a body: messages and prompts, without the JSON around them."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
    texts = [text for text in _words(parsed) if text]
    return "\n\n".join(texts) if texts else body.decode(errors="replace")


def _words(parsed: Any) -> Iterator[str]:
    if not isinstance(parsed, dict):
        return
    for message in parsed.get("messages") or ():
        yield from _of_message(message)
    prompt = parsed.get("prompt")
    yield from [prompt] if isinstance(prompt, str) else map(str, prompt or ())
    for choice in parsed.get("choices") or ():
        yield from _of_message(choice.get("message") or {"content": choice.get("text")})


def _of_message(message: Any) -> Iterator[str]:
    content = message.get("content") if isinstance(message, dict) else None
    who = f"{message['role']}: " if isinstance(message, dict) and message.get("role") else ""
    if isinstance(content, str):
        yield who + content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield who + part["text"]
