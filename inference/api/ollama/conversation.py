"""Turns the messages of a request into those of a chat, in OpenAI's form.

Ollama's calls of tools have objects as arguments and, from some clients, no ids: results belong to
calls by their order, or by the name of the tool.
"""

from typing import Any

import orjson

from inference.api.ollama.fields import REFUSED
from inference.engines.base import Engine
from inference.errors import BadRequest, must_be
from inference.validation.schemas import Body

USER, ASSISTANT, TOOL = "user", "assistant", "tool"
ROLES = ("system", USER, ASSISTANT, TOOL)


class _OpenCalls:
    """The calls of a message that have no result yet, in their order."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # by id
        self._ids: dict[str, dict[str, None]] = {}  # by name

    def add(self, identity: str, name: str) -> None:
        self._names[identity] = name
        self._ids.setdefault(name, {})[identity] = None

    def take(self, identity: str, name: str) -> str:
        """Returns the id of the call that a result belongs to: by its id, its name, or its place.

        "" where all have theirs. Ollama's own SDK sends the ids of results, and not those of calls.
        """
        if identity not in self._names:
            identity = next(iter(self._ids.get(name) or self._names), "")
        if own := self._names.pop(identity, ""):
            self._ids[own].pop(identity, None)
        return identity


def messages(listed: list[Any], engine: Engine) -> list[Body]:
    """Returns the messages of the chat. Raises BadRequest."""
    conversation = _Conversation(engine)
    for i, message in enumerate(listed):
        conversation.add(message, f"messages[{i}]")
    return conversation.finished()


def _text(message: Body, name: str, where: str) -> str:
    text = message.get(name)
    if not isinstance(text, str | None):
        raise must_be(f"{where}.{name}", "a string")
    return text or ""


class _Conversation:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._messages: list[Body] = []
        self._open = _OpenCalls()
        self._count = 0  # of calls
        self._thoughts: list[tuple[Body, str]] = []  # of this turn of the model, by message

    def add(self, message: Any, where: str) -> None:
        role = _role(message, where)
        if message.get("images"):
            what = f"`{where}.images` is not supported: {REFUSED['images']}"
            raise BadRequest(what, code="unsupported_value", param=f"{where}.images")
        content = _text(message, "content", where)
        if role == ASSISTANT:
            self._assistant(message, content, where)
        elif role == TOOL:
            self._result(message, content, where)
        else:
            if role == USER:
                self._thoughts = []  # what it thought before is over
            self._messages.append({"role": role, "content": content})

    def finished(self) -> list[Body]:
        """Returns the messages. The beginning of an answer is marked as one."""
        for message, thought in self._thoughts if self._engine.reads_reasoning else ():
            message["reasoning_content"] = thought
        last = self._messages[-1]
        if last["role"] == ASSISTANT and not last.get("tool_calls"):
            last["prefix"] = True
        return self._messages

    # The model -----------------------------------------------------------------------------------
    def _assistant(self, message: Body, content: str, where: str) -> None:
        own: Body = {"role": ASSISTANT, "content": content}
        calls = message.get("tool_calls")
        if not isinstance(calls, list | None):
            raise must_be(f"{where}.tool_calls", "a list")
        if calls:
            self._open = _OpenCalls()
            listed = [self._call(call, f"{where}.tool_calls[{n}]") for n, call in enumerate(calls)]
            own |= {"content": content or None, "tool_calls": listed}
        if thought := _text(message, "thinking", where):
            self._thoughts.append((own, thought))
        self._messages.append(own)

    def _call(self, call: Any, where: str) -> Body:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise must_be(where, "an object with a `function`")
        name, arguments = function.get("name"), function.get("arguments", {})
        if not isinstance(name, str) or not name:
            raise must_be(f"{where}.function.name", "the name of a tool")
        if not isinstance(arguments, dict):
            raise must_be(f"{where}.function.arguments", "an object")
        identity = _text(call, "id", where) or self._next_id()
        self._open.add(identity, name)
        written = {"name": name, "arguments": orjson.dumps(arguments).decode()}
        return {"id": identity, "type": "function", "function": written}

    def _next_id(self) -> str:
        self._count += 1
        return f"call_{self._count}"

    def _result(self, message: Body, content: str, where: str) -> None:
        identity = _text(message, "tool_call_id", where)
        call = self._open.take(identity, _text(message, "tool_name", where))
        identity = call or identity or self._next_id()
        self._messages.append({"role": TOOL, "tool_call_id": identity, "content": content})


def _role(message: Any, where: str) -> str:
    if not isinstance(message, dict):
        raise must_be(where, "an object with role and content")
    role = message.get("role")
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise must_be(f"{where}.role", f"one of {', '.join(ROLES)}")
    return role.lower()
