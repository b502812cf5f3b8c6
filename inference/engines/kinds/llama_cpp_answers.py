"""Translates llama.cpp's answers into OpenAI's form: log probabilities and required tool calls."""

import re
from typing import Any
from uuid import uuid4

import orjson

from inference.order import Order

# In a body; in a text their quotes would be escaped.
_REQUESTED, _REQUIRED = b'"logprobs":', b'"tool_choice":"required"'
_CONTENT = b'"logprobs":{"content":'
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')
_ENDS = "tool_calls"
Json = dict[str, Any]


class Translation:
    """The translation of one answer, whole or in events."""

    @property
    def outgoing(self) -> bytes:
        """Returns further fields of the body, which override those that are there."""
        raise NotImplementedError

    def _concerns(self, body: bytes) -> bool:
        raise NotImplementedError

    def _shape(self, choice: Json, part: str) -> None:
        """Translate a choice. `part` is message or delta."""
        raise NotImplementedError

    def of_answer(self, body: bytes) -> bytes:
        return self._shaped(body, "message") if self._concerns(body) else body

    def of_event(self, event: bytes) -> bytes:
        if not event.startswith(b"data:") or not self._concerns(event):
            return event
        return b"data: " + self._shaped(event.removeprefix(b"data:"), "delta")

    def _shaped(self, body: bytes, part: str) -> bytes:
        try:
            answer = orjson.loads(body)
            for choice in answer["choices"]:
                self._shape(choice, part)
        except (ValueError, LookupError, TypeError, AttributeError):
            return body  # the reader of the answer reports the fault
        return orjson.dumps(answer)


class Logprobs(Translation):
    """Log probabilities, with `most` alternatives for each token.

    llama.cpp has one shape for chats and texts, {"content": [{"token", "logprob", "top_logprobs":
    [{"token", "logprob"}]}]}. OpenAI's shape for a text is {"tokens", "token_logprobs",
    "top_logprobs", "text_offset"}, where an offset counts characters of the answer. llama.cpp
    reports 20 alternatives without a number, and no log probability at all for 0: so it is asked
    for one, which is left out of the answer.
    """

    def __init__(self, *, chat: bool, most: int) -> None:
        self._chat, self._most, self._offset = chat, most, 0

    @classmethod
    def for_order(cls, order: Order) -> "Logprobs | None":
        if _REQUESTED not in order.body:
            return None
        body = orjson.loads(order.body)
        logprobs = body.get("logprobs")
        if logprobs is None or logprobs is False:
            return None
        most = body.get("top_logprobs") if order.chat else logprobs
        return cls(chat=order.chat, most=most or 0)

    @property
    def outgoing(self) -> bytes:
        if self._most:
            return b""
        return b',"top_logprobs":1' if self._chat else b',"logprobs":1'

    def _concerns(self, body: bytes) -> bool:
        has_openais_shape = self._chat and self._most > 0
        return _CONTENT in body and not has_openais_shape

    def _shape(self, choice: Json, part: str) -> None:
        if not choice.get("logprobs"):
            return
        tokens = choice["logprobs"]["content"]
        if not self._chat:
            choice["logprobs"] = self._columns(tokens)
            return
        for token in tokens:
            token["top_logprobs"] = []

    def _columns(self, tokens: list[Json]) -> Json:
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token["token"])
        top = [
            {other["token"]: other["logprob"] for other in token["top_logprobs"]}
            for token in tokens
        ]
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": top if self._most else None,
            "text_offset": offsets,
        }


class RequiredCall(Translation):
    """A required tool call, generated as JSON by a schema.

    llama.cpp lets a model write text before the call that it must make, and a small one never comes
    to the call. So where a chat requires a call, such a model is asked for nothing but that JSON.
    """

    def __init__(self, tools: list[Json]) -> None:
        self._functions = [tool["function"] for tool in tools]
        self._name = self._text = ""
        self._begun = self._arguments_begun = False  # the call, and its arguments

    @classmethod
    def for_order(cls, order: Order) -> "RequiredCall | None":
        if not order.chat or _REQUIRED not in order.body:
            return None
        body = orjson.loads(order.body)
        required = body.get("tool_choice") == "required"
        return cls(body["tools"]) if required else None

    @property
    def outgoing(self) -> bytes:
        calls = [_schema(function, number) for number, function in enumerate(self._functions)]
        form = {"type": "json_schema", "json_schema": {"schema": {"anyOf": calls}}}
        return b',"tool_choice":"none","response_format":%b' % orjson.dumps(form)

    def _concerns(self, body: bytes) -> bool:
        return b'"choices"' in body

    def _shape(self, choice: Json, part: str) -> None:
        reason, message = choice.get("finish_reason"), choice[part]
        was_begun = self._begun
        self._text += message.pop("content", None) or ""
        self._begin()
        arguments = self._arguments(last=bool(reason), whole=reason == "stop")
        if self._begun and reason == "stop":
            choice["finish_reason"] = _ENDS
        if self._begun and (arguments or not was_begun):
            head = {} if was_begun else {"id": f"call_{uuid4().hex}", "type": "function"}
            name = {} if was_begun else {"name": self._name}
            index = {"index": 0} if part == "delta" else {}
            call = {**index, **head, "function": {**name, "arguments": arguments}}
            message["tool_calls"] = [call]
        if reason and not self._begun:
            message["content"] = self._text  # it was cut before the name was complete
        elif part == "message" or not was_begun:
            message.setdefault("content", None)

    def _begin(self) -> None:
        if not self._begun and (head := _HEAD.match(self._text)):
            self._begun, self._name = True, orjson.loads(head[1])
            self._text = self._text[head.end() :]

    def _arguments(self, *, last: bool, whole: bool) -> str:
        """Returns the text that is surely the arguments': the last brace is the call's own."""
        if not self._begun:
            return ""
        text = self._text if self._arguments_begun else self._text.lstrip()
        end = len(text) if last else len(text.rstrip("} \t\r\n"))
        text, self._text = text[:end], text[end:]
        self._arguments_begun = self._arguments_begun or bool(text)
        return text.rstrip().removesuffix("}").rstrip() if whole else text


def _schema(function: Json, number: int) -> Json:
    """Returns the schema of a call. References in its parameters start at its place."""
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    path = f"#/anyOf/{number}/properties/arguments"
    return {
        "type": "object",
        "properties": {
            "name": {"const": function["name"]},
            "arguments": _moved(parameters, path),
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_moved(inner, path) for inner in value]
    if not isinstance(value, dict):
        return value
    moved = {name: _moved(inner, path) for name, inner in value.items()}
    if isinstance(ref := value.get("$ref"), str) and ref.startswith("#"):
        moved["$ref"] = path + ref.removeprefix("#")
    return moved
