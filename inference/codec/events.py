"""Reads as little as possible of an engine's SSE events: they are forwarded unchanged."""

import re
from typing import Any

import msgspec
import orjson

from inference.reasoning import Said

DONE = b"data: [DONE]"
NOTHING = Said("")
_FINISH = re.compile(rb'"finish_reason":\s*"[^"]')
_MORE = (b'"usage"', b'"timings"', b'"error"', b"error:", DONE)  # signs of more than text
_OTHER_WORDS = re.compile(rb'"tool_calls":\s*\[\s*\{|"refusal":\s*"[^"]')
_ROLE = re.compile(rb'"role":\s*"')  # SGLang sends it in each event, usually as null
_NAMES = {name: re.compile(rb'"%b":\s*"[^"]*"' % name.encode()) for name in ("id", "model")}


def split(blob: bytes) -> list[bytes]:
    """Returns the events of a frame's body."""
    return blob.split(b"\n\n")[:-1]


def relevant(events: list[bytes]) -> list[bytes]:
    """Returns events without comments and lines other than data (id:, event:, retry:)."""
    if all(event.startswith(b"data:") and b"\n" not in event for event in events):
        return events
    return [event for event in map(_data_lines, events) if event]


def _data_lines(event: bytes) -> bytes:
    lines = event.split(b"\n")
    return b"\n".join(line for line in lines if line.startswith((b"data:", b"error:")))


def are_text_alone(events: list[bytes]) -> bool:
    """Returns True only if none ends the answer, or has usage or an error.

    One search in all of them costs less than several in each.
    """
    text = b"\n".join(events)
    return _FINISH.search(text) is None and not any(map(text.__contains__, _MORE))


def ends(event: bytes) -> bool:
    """Returns whether the event has the finish reason."""
    return _FINISH.search(event) is not None


def opens(event: bytes) -> bool:
    """Returns whether the event has only the assistant's role, before any text."""
    return _ROLE.search(event) is not None and not (ends(event) or any(said_in(event)))


def name_field(event: bytes, name: str) -> bytes | None:
    """Returns the field `id` or `model` as the event has it; None if it has none.

    Azure writes the choices first: the first `id` may be that of a call.
    """
    value = parsed(event).get(name)
    fields = (match[0] for match in _NAMES[name].finditer(event))
    own = (field for field in fields if parsed(b"data:{%b}" % field).get(name) == value)
    return next(own, None) if isinstance(value, str) else None


def parsed(event: bytes) -> dict[str, Any]:
    """Returns the JSON object, {} if there is none (comments, [DONE])."""
    _, _, data = event.partition(b"data:")
    try:
        chunk = orjson.loads(data)
    except ValueError:
        return {}
    return chunk if isinstance(chunk, dict) else {}


class _Delta(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None


class _Choice(msgspec.Struct):
    index: Any = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    text: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None


_chunk = msgspec.json.Decoder(_Chunk).decode  # only these fields: half the time of a dict
_chunks = msgspec.json.Decoder(list[_Chunk]).decode


def has_other_words(data: bytes) -> bool:
    """Returns whether an event, or a whole answer, has a call of a tool or a refusal.

    In a text the quotes of these names would be escaped.
    """
    return _OTHER_WORDS.search(data) is not None


def text_in(event: bytes) -> str:
    return said_in(event).text


def said_in(event: bytes) -> Said:
    """Returns the piece of the answer, or of the reasoning before it."""
    return said_of(event.partition(b"data:")[2])


def said_in_all(events: list[bytes]) -> Said:
    """Returns the joined pieces of all events."""
    words = _parsed_together(events) or list(map(said_in, events))
    return Said("".join(s.text for s in words), "".join(s.reasoning for s in words))


def _parsed_together(events: list[bytes]) -> list[Said]:
    """Parse them as one JSON array. Returns nothing if some are not chunks."""
    data = b",".join([event.partition(b"data:")[2] for event in events])
    try:
        chunks = _chunks(b"[%b]" % data)
    except msgspec.DecodeError:
        return []
    return list(map(_said_in_chunk, chunks)) if len(chunks) == len(events) else []


def said_of(answer: bytes) -> Said:
    """Returns the text of a whole answer or a chunk, and the reasoning before it."""
    try:
        return _said_in_chunk(_chunk(answer))
    except msgspec.DecodeError:
        return NOTHING


def _said_in_chunk(chunk: _Chunk) -> Said:
    choices = chunk.choices
    if not choices or is_further(choices[0].index):
        return NOTHING
    message = choices[0].delta or choices[0].message
    if message is None:
        return Said(choices[0].text or "")
    reasoning = message.reasoning_content or message.reasoning
    return Said(text_of(message.content), reasoning if isinstance(reasoning, str) else "")


def is_further(index: Any) -> bool:
    """Returns whether it is not the first of several answers: one text is the first one's."""
    return type(index) is int and index > 0


def text_of(content: Any) -> str:
    """Returns the text of a content, also of an engine that sends it in parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))


def finish_reason(chunk: dict[str, Any]) -> str:
    """Returns the finish reason; "" if there is none, or the chunk is malformed."""
    try:
        return str(chunk["choices"][0]["finish_reason"] or "")
    except (LookupError, TypeError):
        return ""


def reason_of_whole(answer: dict[str, Any]) -> str:
    """Returns the finish reason of a whole answer: without one it stopped, as its record says."""
    return finish_reason(answer) or "stop"
