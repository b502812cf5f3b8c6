"""Orders, items and an engine's events, as the tests need them."""

import time
from typing import Any
from uuid import UUID, uuid4

import msgspec
import orjson

from inference import request_id
from inference.order import Item, Order
from inference.stream.frames import Frame, Kind

SEALED = b"sealed"  # an order in a queue, which looks into none
CHAT = b'{"model":"theirs","messages":[{"role":"user","content":"Say something"}],"stream":true}'


def an_order(**changes: Any) -> Order:
    """A streamed chat completion of somebody at acme."""
    plain = Order(
        id=request_id.new(changes.get("created_at")),
        tenant_id=uuid4(),
        subject_id=uuid4(),
        actor=f"key:{uuid4()}",
        client_ip="198.51.100.7",
        model="mock",
        route="/v1/chat/completions",
        chat=True,
        stream=True,
        include_usage=False,
        reply_to="web-1",
        outlives_reader=False,
        body=CHAT,
        created_at=time.time(),
        deadline=time.time() + 60,
        estimate=100,
        weight=1,
    )
    return msgspec.structs.replace(plain, **changes)


def an_item(tenant: str = "acme", estimate: int = 100, weight: int = 1, **changes: Any) -> Item:
    plain = Item(1, estimate, weight, "realtime", tenant, str(uuid4()))
    return msgspec.structs.replace(plain, **changes)


# What an engine says --------------------------------------------------------------------------
def event(found: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(found)


def chunk(text: str | None = None, finish: str | None = None, **delta: Any) -> bytes:
    """One event of a streamed chat completion."""
    if text is not None:
        delta["content"] = text
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    names = {"id": "chatcmpl-engine0001", "object": "chat.completion.chunk", "model": "theirs"}
    return event({**names, "choices": [choice]})


def usage(prompt: int = 5, answer: int = 3, **more: Any) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": answer, **more}
    names = {"id": "chatcmpl-engine0001", "object": "chat.completion.chunk", "model": "theirs"}
    return event({**names, "choices": [], "usage": counts})


# Frames ---------------------------------------------------------------------------------------
def numbered_events(first: int, last: int) -> bytes:
    return b"".join(b"data: %d\n\n" % n for n in range(first, last + 1))


def a_frame(
    first: int, last: int, *, of: UUID | None = None, attempt: int = 1, kind: Kind = Kind.EVENTS
) -> Frame:
    """The events number `first` to `last`, each of which says its number."""
    completion = (of or UUID(int=1)).bytes
    return Frame(completion, attempt, last, kind, numbered_events(first, last))


def numbers(body: bytes) -> list[int]:
    """Which events a body carries."""
    return [int(event.removeprefix(b"data: ")) for event in body.split(b"\n\n")[:-1]]
