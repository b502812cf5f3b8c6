"""A recorded answer, sent again: as another request's own, or as a stream."""

from typing import Any

import orjson

from inference.codec import pieces
from inference.codec.events import DONE


def own_body(recorded: bytes, answer_id: str, model: str, cached_tokens: int) -> bytes:
    """Returns the answer with another id and model, and usage that shows it was cached."""
    completion: dict[str, Any] = orjson.loads(recorded)
    usage = completion.get("usage")
    if isinstance(usage, dict):
        usage["prompt_tokens_details"] = {"cached_tokens": cached_tokens}
    return orjson.dumps({**completion, "id": answer_id, "model": model})


def as_events(recorded: bytes, *, gives_usage: bool) -> tuple[int, bytes]:
    """Returns the number of events that the answer makes, and the events.

    Raises LookupError, TypeError, ValueError or AttributeError for a text that is no answer.
    """
    events = [*pieces.of_answer(recorded, gives_usage=gives_usage), DONE]
    return len(events), b"".join(event + b"\n\n" for event in events)
