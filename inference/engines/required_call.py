"""A call that a model has to make, written as JSON by a schema, and told as OpenAI's tool call.

llama.cpp lets a model say what it likes before the call that it must make, which a small one never
comes to. So where a chat requires a call, such a model is asked for nothing but that JSON.
"""

import re
from typing import Any
from uuid import uuid4

import orjson

from inference.order import Order

_REQUIRED = b'"tool_choice":"required"'  # in a body; in a text its quotes would be escaped
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')
_ENDS = "tool_calls"
Json = dict[str, Any]


class RequiredCall:
    """Of one answer, whole or in events."""

    def __init__(self, tools: list[Json]) -> None:
        self._functions = [tool["function"] for tool in tools]
        self._name = self._held = ""
        self._begun = self._told = False  # the call, and its arguments

    @classmethod
    def asked_for(cls, order: Order) -> "RequiredCall | None":
        if not order.chat or _REQUIRED not in order.body:
            return None
        body = orjson.loads(order.body)
        required = body.get("tool_choice") == "required"
        return cls(body["tools"]) if required else None

    @property
    def outgoing(self) -> bytes:
        """More fields of the body, which count before those that stand there."""
        calls = [_schema(function, number) for number, function in enumerate(self._functions)]
        form = {"type": "json_schema", "json_schema": {"schema": {"anyOf": calls}}}
        return b',"tool_choice":"none","response_format":%b' % orjson.dumps(form)

    # Answers -------------------------------------------------------------------------------------
    def of_answer(self, body: bytes) -> bytes:
        return self._shaped(body, "message")

    def of_event(self, event: bytes) -> bytes:
        if not event.startswith(b"data:") or b'"choices"' not in event:
            return event
        return b"data: " + self._shaped(event.removeprefix(b"data:"), "delta")

    def _shaped(self, body: bytes, part: str) -> bytes:
        try:
            answer = orjson.loads(body)
            for choice in answer["choices"]:
                self._shape(choice, part)
        except (ValueError, LookupError, TypeError, AttributeError):
            return body  # whoever reads it says what is wrong
        return orjson.dumps(answer)

    def _shape(self, choice: Json, part: str) -> None:
        reason, message = choice.get("finish_reason"), choice[part]
        was_begun = self._begun
        self._held += message.pop("content", None) or ""
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
            message["content"] = self._held  # it was cut before the name was there
        elif part == "message" or not was_begun:
            message.setdefault("content", None)

    def _begin(self) -> None:
        if not self._begun and (head := _HEAD.match(self._held)):
            self._begun, self._name = True, orjson.loads(head[1])
            self._held = self._held[head.end() :]

    def _arguments(self, *, last: bool, whole: bool) -> str:
        """Returns what is sure to be theirs: the last brace is the call's own."""
        if not self._begun:
            return ""
        text = self._held if self._told else self._held.lstrip()
        end = len(text) if last else len(text.rstrip("} \t\r\n"))
        text, self._held = text[:end], text[end:]
        self._told = self._told or bool(text)
        return text.rstrip().removesuffix("}").rstrip() if whole else text


def _schema(function: Json, number: int) -> Json:
    """References begin at the top, and the parameters do not stand there any more."""
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    place = f"#/anyOf/{number}/properties/arguments"
    return {
        "type": "object",
        "properties": {
            "name": {"const": function["name"]},
            "arguments": _moved(parameters, place),
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(value: Any, place: str) -> Any:
    if isinstance(value, list):
        return [_moved(inner, place) for inner in value]
    if not isinstance(value, dict):
        return value
    moved = {name: _moved(inner, place) for name, inner in value.items()}
    if isinstance(ref := value.get("$ref"), str) and ref.startswith("#"):
        moved["$ref"] = place + ref.removeprefix("#")
    return moved
