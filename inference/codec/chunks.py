"""The chunks of an answer's stream, as far as front ends of other forms read them."""

from typing import Any

import msgspec
import orjson

from inference.codec.events import DONE, is_further, text_of


class Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None

    @property
    def text(self) -> str:
        """Returns its arguments as JSON, also of an engine that sends them as an object."""
        if self.arguments is None or isinstance(self.arguments, str):
            return self.arguments or ""
        return orjson.dumps(self.arguments).decode()


class ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct):
    content: Any = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[ToolCall] | None = None

    @property
    def text(self) -> str:
        return text_of(self.content)


class Choice(msgspec.Struct):
    index: Any = 0
    delta: Delta | None = None
    text: str | None = None  # of a prompt without a template
    finish_reason: str | None = None
    stop_reason: Any = None  # vLLM's: the stop sequence
    matched_stop: Any = None  # SGLang's
    logprobs: Any = None

    @property
    def piece(self) -> Delta | None:
        """Returns its piece of a chat's answer, also where it is one of a text."""
        return self.delta or (Delta(content=self.text) if self.text else None)


class Chunk(msgspec.Struct):
    model: Any = None
    choices: list[Choice] | None = None
    usage: Any = None

    @property
    def choice(self) -> Choice | None:
        """Returns its piece of the answer; of several answers those of the first one alone."""
        choice = self.choices[0] if self.choices else None
        return None if choice is None or is_further(choice.index) else choice


_chunk = msgspec.json.Decoder(Chunk).decode
_chunks = msgspec.json.Decoder(list[Chunk]).decode
NO_CHUNK = Chunk()


def decoded(events: list[bytes]) -> list[Chunk]:
    """Parse all events at once. Returns a chunk for each, NO_CHUNK where there is none."""
    ends = bool(events) and events[-1] == DONE
    data = [event.partition(b"data:")[2] for event in (events[:-1] if ends else events)]
    try:
        chunks = _chunks(b"[%b]" % b",".join(data))
    except msgspec.DecodeError:
        chunks = list(map(_decoded_alone, data))
    return [*chunks, NO_CHUNK] if ends else chunks


def _decoded_alone(data: bytes) -> Chunk:
    try:
        return _chunk(data)
    except msgspec.DecodeError:
        return NO_CHUNK
