"""Reading an engine's SSE events as little as possible: they are forwarded untouched."""

import re
from typing import Any

import msgspec
import orjson

from inference.reasoning import Said

DONE = b"data: [DONE]"
NOTHING = Said("")
_FINISH = re.compile(rb'"finish_reason":\s*"[^"]')
_MORE = (b'"usage"', b'"timings"', b'"error"', b"error:", DONE)  # than text, perhaps
_ROLE = re.compile(rb'"role":\s*"')  # SGLang names it in each event, most often as null
_ID = re.compile(rb'"id":\s*"[^"]*"')
_MODEL = re.compile(rb'"model":\s*"[^"]*"')


def split(blob: bytes) -> list[bytes]:
    """The events of a frame's body."""
    return blob.split(b"\n\n")[:-1]


def relevant(events: list[bytes]) -> list[bytes]:
    """Without comments, and without the lines that are not data (id:, event:, retry:)."""
    if all(event.startswith(b"data:") and b"\n" not in event for event in events):
        return events
    return [event for event in map(_data_lines, events) if event]


def _data_lines(event: bytes) -> bytes:
    lines = event.split(b"\n")
    return b"\n".join(line for line in lines if line.startswith((b"data:", b"error:")))


def are_text_alone(events: list[bytes]) -> bool:
    """True only of events that may all be shown as they are: none ends the answer, tells usage or
    an error. One look at all of them costs less than several at each.
    """
    together = b"\n".join(events)
    return _FINISH.search(together) is None and not any(map(together.__contains__, _MORE))


def ends(event: bytes) -> bool:
    """The event that carries the finish reason."""
    return _FINISH.search(event) is not None


def opens(event: bytes) -> bool:
    """The event that names the assistant's role, before any text."""
    return _ROLE.search(event) is not None and not (ends(event) or any(said_in(event)))


def id_field(event: bytes) -> bytes | None:
    found = _ID.search(event)
    return found.group(0) if found else None


def model_field(event: bytes) -> bytes | None:
    found = _MODEL.search(event)
    return found.group(0) if found else None


def parsed(event: bytes) -> dict[str, Any]:
    """{} for what is not a JSON object (comments, [DONE])."""
    _, _, data = event.partition(b"data:")
    try:
        found = orjson.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    text: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None


_chunk = msgspec.json.Decoder(_Chunk).decode  # only what it names: half the time of a dict
_chunks = msgspec.json.Decoder(list[_Chunk]).decode


def text_in(event: bytes) -> str:
    """Return the piece of the answer that a reader sees."""
    return said_in(event).text


def said_in(event: bytes) -> Said:
    """The piece of the answer, or of the reasoning before it."""
    return _said(event.partition(b"data:")[2])


def said_in_all(events: list[bytes]) -> Said:
    """As `said_in` of each, put together."""
    said = _said_at_once(events) or list(map(said_in, events))
    return Said("".join(s.text for s in said), "".join(s.reasoning for s in said))


def _said_at_once(events: list[bytes]) -> list[Said]:
    """Read as one JSON array; none where they are not all of them chunks."""
    data = b",".join([event.partition(b"data:")[2] for event in events])
    try:
        chunks = _chunks(b"[%b]" % data)
    except msgspec.DecodeError:
        return []
    return list(map(_said_in_chunk, chunks)) if len(chunks) == len(events) else []


def said_of(answer: bytes) -> Said:
    """The text of a whole answer, and the reasoning before it."""
    return _said(answer)


def _said(chunk: bytes) -> Said:
    try:
        return _said_in_chunk(_chunk(chunk))
    except msgspec.DecodeError:
        return NOTHING


def _said_in_chunk(chunk: _Chunk) -> Said:
    choices = chunk.choices
    if not choices:
        return NOTHING
    said = choices[0].delta or choices[0].message
    if said is None:
        return Said(choices[0].text or "")
    thought = said.reasoning_content or said.reasoning
    return Said(said.content or "", thought if isinstance(thought, str) else "")


def finish_reason(chunk: dict[str, Any]) -> str:
    """ "" when there is none, or the chunk is not shaped as it should be."""
    try:
        return str(chunk["choices"][0]["finish_reason"] or "")
    except (LookupError, TypeError):
        return ""
