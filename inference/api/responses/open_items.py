"""The item of a stream that grows: its events until it is done."""

from typing import Any, ClassVar, Protocol

import orjson

from inference.api.responses import output, tools
from inference.api.responses.output import IN_PROGRESS, Call, Shape
from inference.validation.schemas import Body


class Events(Protocol):
    def emit(self, name: bytes, fields: bytes) -> None: ...


class OpenItem:
    """An item that has begun. Its deltas share their fields, which are written once."""

    def __init__(self, events: Events, index: int, item: Body) -> None:
        self._events, self._index = events, index
        self._pieces: list[str] = []
        self._place = b'"item_id":%b,"output_index":%d' % (orjson.dumps(item["id"]), index)
        self._tell_item(b"response.output_item.added", item)

    def close(self, status: str) -> Body:
        """End the item, and return it."""
        raise NotImplementedError

    def _done(self, item: Body) -> Body:
        self._tell_item(b"response.output_item.done", item)
        return item

    def _tell_item(self, name: bytes, item: Body) -> None:
        self._events.emit(name, b'"output_index":%d,"item":%b' % (self._index, orjson.dumps(item)))

    def _tell(self, event: bytes, **fields: Any) -> None:
        self._events.emit(event, b"%b,%b" % (self._place, orjson.dumps(fields)[1:-1]))


class OpenReasoning(OpenItem):
    """Thoughts, in `summary` or in `content`."""

    def __init__(self, events: Events, index: int, shape: Shape) -> None:
        self._shape, self._identity = shape, shape.item_id("rs", index)
        super().__init__(events, index, output.reasoning(shape, self._identity, IN_PROGRESS, ""))
        if shape.summarizes:
            self._part, self._number = "summary_text", "summary_index"
            self._name, self._around = b"response.reasoning_summary_text", b"reasoning_summary_part"
        else:
            self._part, self._number = "reasoning_text", "content_index"
            self._name, self._around = b"response.reasoning_text", b"content_part"
        self._delta = b'%b,"%b":0,"delta":' % (self._place, self._number.encode())
        self._tell_part(b"added", "")

    def grow(self, text: str) -> None:
        self._pieces.append(text)
        self._events.emit(self._name + b".delta", self._delta + orjson.dumps(text))

    def close(self, status: str) -> Body:
        text = "".join(self._pieces)
        self._tell(self._name + b".done", **{self._number: 0, "text": text})
        self._tell_part(b"done", text)
        return self._done(output.reasoning(self._shape, self._identity, status, text))

    def _tell_part(self, what: bytes, text: str) -> None:
        part = {"type": self._part, "text": text}
        self._tell(b"response.%b.%b" % (self._around, what), **{self._number: 0, "part": part})


class OpenMessage(OpenItem):
    """A message. Text and refusal are parts of it."""

    def __init__(self, events: Events, index: int, shape: Shape) -> None:
        self._identity = shape.item_id("msg", index)
        super().__init__(events, index, output.message(self._identity, IN_PROGRESS))
        self._parts: list[Body] = []  # the finished ones
        self._logprobs: list[Body] = []
        self._refuses: bool | None = None  # what the open part is; None: there is none
        self._delta = b""

    def grow(self, text: str, logprobs: Any = None) -> None:
        if self._refuses is not False:
            self._open_part(refuses=False)
        if not text:
            return
        self._pieces.append(text)
        fields = self._delta + orjson.dumps(text)
        own = output.logprobs_of(logprobs) if logprobs else None
        if own:
            self._logprobs += own
            fields += b',"logprobs":' + orjson.dumps(own)
        else:
            fields += b',"logprobs":[]'
        self._events.emit(b"response.output_text.delta", fields)

    def refuse(self, text: str) -> None:
        if self._refuses is not True:
            self._open_part(refuses=True)
        self._pieces.append(text)
        self._events.emit(b"response.refusal.delta", self._delta + orjson.dumps(text))

    def close(self, status: str) -> Body:
        self._close_part()
        return self._done(output.message(self._identity, status, *self._parts))

    def _open_part(self, *, refuses: bool) -> None:
        self._close_part()
        self._refuses, number = refuses, len(self._parts)
        self._delta = b'%b,"content_index":%d,"delta":' % (self._place, number)
        part = output.refusal_part("") if refuses else output.text_part("")
        self._tell(b"response.content_part.added", content_index=number, part=part)

    def _close_part(self) -> None:
        if self._refuses is None:
            return
        text, number = "".join(self._pieces), len(self._parts)
        if self._refuses:
            part = output.refusal_part(text)
            self._tell(b"response.refusal.done", content_index=number, refusal=text)
        else:
            part = output.text_part(text, self._logprobs)
            fields = {"text": text, "logprobs": self._logprobs}
            self._tell(b"response.output_text.done", content_index=number, **fields)
        self._tell(b"response.content_part.done", content_index=number, part=part)
        self._parts.append(part)
        self._pieces, self._logprobs, self._refuses = [], [], None


class OpenCall(OpenItem):
    """A call. The text of a custom tool is told at once: until its JSON ends, it is not known."""

    _ARGUMENTS: ClassVar[bytes] = b"response.function_call_arguments"
    _INPUT: ClassVar[bytes] = b"response.custom_tool_call_input"

    def __init__(self, events: Events, index: int, call: Call, number: int) -> None:
        super().__init__(events, index, call.item(IN_PROGRESS, ""))
        self._call, self.number = call, number

    def grow(self, arguments: str) -> None:
        self._pieces.append(arguments)
        if not self._call.is_custom:
            fields = b'%b,"delta":%b' % (self._place, orjson.dumps(arguments))
            self._events.emit(self._ARGUMENTS + b".delta", fields)

    def close(self, status: str) -> Body:
        arguments = "".join(self._pieces) or "{}"
        if self._call.is_custom:
            text = tools.input_of(arguments)
            self._tell(self._INPUT + b".delta", delta=text)
            self._tell(self._INPUT + b".done", input=text)
        else:
            name = self._call.name
            self._tell(self._ARGUMENTS + b".done", name=name, arguments=arguments)
        return self._done(self._call.item(status, arguments))
