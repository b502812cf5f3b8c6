"""Reading an engine's SSE events as little as possible: they are forwarded untouched."""

import re
from typing import Any

import msgspec
import orjson

from inference.reasoning import Said

DONE = b"data: [DONE]"
NOTHING = Said("")
_FINISH = re.compile(rb'"finish_reason":\s*"[^"]')
_ID = re.compile(rb'"id":\s*"[^"]*"')
_MODEL = re.compile(rb'"model":\s*"[^"]*"')


def split(blob: bytes) -> list[bytes]:
    """The events of a frame's body."""
    return blob.split(b"\n\n")[:-1]


def relevant(events: list[bytes]) -> list[bytes]:
    """Without comments, and without the lines that are not data (id:, event:, retry:)."""
    return [event for event in map(_data_lines, events) if event]


def _data_lines(event: bytes) -> bytes:
    if event.startswith((b"data:", b"error:")) and b"\n" not in event:
        return event
    lines = event.split(b"\n")
    return b"\n".join(line for line in lines if line.startswith((b"data:", b"error:")))


def ends(event: bytes) -> bool:
    """The event that carries the finish reason."""
    return _FINISH.search(event) is not None


def opens(event: bytes) -> bool:
    """The event that names the assistant's role, before any text."""
    return b'"role"' in event and not any(said_in(event))


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


def text_in(event: bytes) -> str:
    """The piece of the answer that a reader sees."""
    return said_in(event).text


def said_in(event: bytes) -> Said:
    """The piece of the answer, or of the reasoning before it."""
    return _said(event.partition(b"data:")[2])


def said_of(answer: bytes) -> Said:
    """The text of a whole answer, and the reasoning before it."""
    return _said(answer)


def _said(chunk: bytes) -> Said:
    try:
        choices = _chunk(chunk).choices
    except msgspec.DecodeError:
        return NOTHING
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
