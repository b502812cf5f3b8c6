"""Turns the items of a request into the messages of a chat, in OpenAI's form.

Items that follow each other make one turn: texts of one role, or what the model said, thought and
called. The result of a call stands behind the turn that called, wherever the client has it.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from inference.api.responses import content, items, opaque
from inference.api.responses.content import ASSISTANT, DEVELOPER, SYSTEM, USER, text_of
from inference.api.responses.items import Item
from inference.engines.base import Engine
from inference.errors import BadRequest, must_be
from inference.validation.schemas import Body

_ROLES = (USER, ASSISTANT, SYSTEM, DEVELOPER)
SUMMARY = "Summary of the conversation so far:\n\n"
INVALID_ARGUMENTS = "INVALID_JSON"  # holds arguments that are no JSON object: engines parse them


@dataclass(slots=True)
class _Turn:
    role: str
    parts: list[Body] = field(default_factory=list)
    calls: list[Body] = field(default_factory=list)
    results: list[Body] = field(default_factory=list)
    media: list[Body] = field(default_factory=list)  # of the results
    thoughts: list[str] = field(default_factory=list)

    def messages(self, *, thinks: bool) -> list[Body]:
        text = content.joined(self.parts)
        message: Body = {"role": self.role, "content": text}
        if self.calls:
            message |= {"content": text or None, "tool_calls": self.calls}
        if thinks and self.thoughts:
            message["reasoning_content"] = "\n\n".join(self.thoughts)
        media = [{"role": USER, "content": self.media}] if self.media else []
        return [message, *self.results, *media]


def messages(listed: list[Any], instructions: str, engine: Engine, start: int = 0) -> list[Body]:
    """Returns the messages of the chat. Raises BadRequest.

    Items before number `start` are those of earlier responses, of which no error tells.
    """
    conversation = _Conversation(engine)
    if instructions:
        conversation.add_message({"role": SYSTEM, "content": instructions}, "instructions")
    for i, item in enumerate(listed, -start):
        conversation.add(item, f"input[{i}]" if i >= 0 else "previous_response_id")
    return conversation.finished()


class _Conversation:
    """The turns so far, and the calls that have no result yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turns: list[_Turn] = []
        self._open: dict[str, tuple[_Turn, str]] = {}  # by call: its turn, and where it is
        self._thoughts: list[str] = []  # of the turn that begins

    def add(self, item: Any, where: str) -> None:
        match items.kind_of(item, where):
            case items.MESSAGE:
                self.add_message(item, where)
            case items.CALL:
                self._call(item, where, _arguments(text_of(item, where, "arguments")))
            case items.CUSTOM_CALL:
                self._call(item, where, _dumped({"input": text_of(item, where, "input")}))
            case items.OUTPUT | items.CUSTOM_OUTPUT:
                self._result(item, where)
            case items.REASONING:
                self._thoughts += _thoughts(item, where)
            case items.COMPACTION:
                self._summary(item, where)
            case items.REFERENCE:
                what = f"`{where}` names no item of a stored response"
                raise BadRequest(what, code="item_not_found", param=where)

    def finished(self) -> list[Body]:
        """Returns the messages. The model gets its thoughts since the user's last words again."""
        if self._open:
            call, (_, where) = next(iter(self._open.items()))
            what = f"No tool output found for function call {call[:120]} (`{where}`)."
            raise BadRequest(what, param="input")
        since = max((n for n, turn in enumerate(self._turns) if turn.role == USER), default=-1)
        reads = self._engine.reads_reasoning
        turns = enumerate(self._turns)
        return [m for n, turn in turns for m in turn.messages(thinks=reads and n > since)]

    # Messages ------------------------------------------------------------------------------------
    def add_message(self, item: Item, where: str) -> None:
        role = item.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise must_be(f"{where}.role", f"one of {', '.join(_ROLES)}")
        parts = content.parts(item.get("content"), f"{where}.content", role, self._engine)
        self._turn(SYSTEM if role == DEVELOPER else role).parts += parts

    def _summary(self, item: Item, where: str) -> None:
        if (text := opaque.unpacked(item.get("encrypted_content"))) is None:
            what = f"`{where}.encrypted_content` was not made here"
            raise BadRequest(what, param=f"{where}.encrypted_content")
        self._turn(USER).parts.append({"type": "text", "text": SUMMARY + text})

    def _turn(self, role: str) -> _Turn:
        """Returns the turn that goes on, or a new one."""
        last = self._turns[-1] if self._turns else None
        if last is None or last.role != role or last.results:
            last = _Turn(role)
            self._turns.append(last)
        if role == ASSISTANT:
            last.thoughts += self._thoughts
        self._thoughts = []
        return last

    # Calls ---------------------------------------------------------------------------------------
    def _call(self, item: Item, where: str, arguments: str) -> None:
        call, name = text_of(item, where, "call_id"), text_of(item, where, "name")
        if not call or call in self._open:
            raise must_be(f"{where}.call_id", "an id that no other call without an output has")
        turn = self._turn(ASSISTANT)
        function = {"name": name, "arguments": arguments}
        turn.calls.append({"id": call, "type": "function", "function": function})
        self._open[call] = turn, where

    def _result(self, item: Item, where: str) -> None:
        call = item.get("call_id")
        turn, _ = self._open.pop(call, (None, "")) if isinstance(call, str) else (None, "")
        if turn is None:
            shown = str(call)[:120]
            what = f"No tool call found for function call output with call_id {shown} (`{where}`)."
            raise BadRequest(what, param="input")
        output = item.get("output")
        parts = [] if output in ("", []) else self._parts(output, f"{where}.output")
        text = "\n\n".join(part["text"] for part in parts if part["type"] == "text")
        turn.results.append({"role": "tool", "tool_call_id": call, "content": text})
        turn.media += (part for part in parts if part["type"] != "text")

    def _parts(self, output: Any, where: str) -> list[Body]:
        return content.parts(output, where, USER, self._engine)


def _arguments(text: str) -> str:
    """Returns arguments as a JSON object, also where the model wrote something else."""
    try:
        if isinstance(orjson.loads(text or "{}"), dict):
            return text or "{}"
    except ValueError:
        pass
    return _dumped({INVALID_ARGUMENTS: text})


def _dumped(arguments: Body) -> str:
    return orjson.dumps(arguments).decode()


def _thoughts(item: Item, where: str) -> list[str]:
    """Returns the texts of a reasoning item. Raises BadRequest."""
    texts = _texts(item.get("content"), f"{where}.content")
    if not texts and (text := opaque.unpacked(item.get("encrypted_content"))):
        texts = [text]
    return texts or _texts(item.get("summary"), f"{where}.summary")


def _texts(listed: Any, where: str) -> list[str]:
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(part, dict) for part in listed):
        raise must_be(where, "a list of texts")
    texts = (text_of(part, f"{where}[{i}]", "text") for i, part in enumerate(listed))
    return [text for text in texts if text]
