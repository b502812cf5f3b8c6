"""Turns the messages of a request into those of a chat, in OpenAI's form."""

from collections.abc import Iterator
from typing import Any

import orjson

from inference.api.anthropic import blocks
from inference.api.anthropic.blocks import ASSISTANT, USER, kind_of, text_of
from inference.engines.base import Engine
from inference.errors import BadRequest, must_be
from inference.validation.schemas import Body

ROLES = (USER, ASSISTANT, "system")
_ERROR = "Error: "
Place = tuple[Body, str]  # a block, and where it is


def messages(listed: Any, engine: Engine) -> list[Body]:
    """Returns the messages of the chat. Raises BadRequest."""
    if not isinstance(listed, list) or not listed:
        raise must_be("messages", "a list with at least one message")
    conversation = _Conversation(engine)
    for role, places in _turns(listed):
        conversation.add(role, places)
    return conversation.finished()


def _turns(listed: list[Any]) -> Iterator[tuple[str, list[Place]]]:
    """Yields each turn: following messages of one role are one, as at Anthropic."""
    role, places = "", list[Place]()
    for i, message in enumerate(listed):
        own = _role(message, f"messages[{i}]")
        if own != role and places:
            yield role, places
            places = []
        role = own
        places += _blocks(message.get("content"), f"messages[{i}].content")
    yield role, places


def _role(message: Any, where: str) -> str:
    if not isinstance(message, dict):
        raise must_be(where, "an object with role and content")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise must_be(f"{where}.role", f"one of {', '.join(ROLES)}")
    return role


def _blocks(content: Any, where: str) -> Iterator[Place]:
    if isinstance(content, str):
        yield {"type": "text", "text": content}, where
    elif isinstance(content, list) and content:
        for i, block in enumerate(content):
            yield block, f"{where}[{i}]"
    else:
        raise must_be(where, "a string or a non-empty list")


class _Conversation:
    """The messages so far, and the calls that have no result yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._messages: list[Body] = []
        self._open: dict[str, str] = {}  # the calls of the last message, by id: their places
        self._thoughts: list[tuple[Body, str]] = []  # of this turn of the model, by message

    def add(self, role: str, places: list[Place]) -> None:
        if role == USER:
            self._user(places)
        elif role == ASSISTANT:
            self._check_results()
            self._assistant(places)
        else:
            joined = [text_of(block, at) for block, at in places if kind_of(block, at, role)]
            self._messages.append({"role": role, "content": "\n\n".join(joined)})

    def finished(self) -> list[Body]:
        """Returns the messages. The beginning of an answer is marked as one."""
        self._check_results()
        for message, thought in self._thoughts if self._engine.reads_reasoning else ():
            message["reasoning_content"] = thought
        last = self._messages[-1]
        if last["role"] == ASSISTANT:
            last["prefix"] = True
        return self._messages

    # The user ------------------------------------------------------------------------------------
    def _user(self, places: list[Place]) -> None:
        """Add the results of calls, each a message, then what else the user says."""
        parts = list[Body]()
        answers_calls = False
        for block, where in places:
            if kind_of(block, where, USER) == "tool_result":
                parts += self._result(block, where)
                answers_calls = True
            else:
                parts.append(self._part(block, where))
        if not answers_calls:
            self._thoughts = []  # what it thought before is over
        if parts or not answers_calls:
            self._messages.append({"role": USER, "content": _content(parts)})

    def _part(self, block: Body, where: str) -> Body:
        match block["type"]:
            case "text":
                return {"type": "text", "text": text_of(block, where)}
            case "image":
                return blocks.image(block, where, self._engine)
            case "document":
                return blocks.document(block, where, self._engine)
        return blocks.search_result(block, where)

    def _result(self, block: Body, where: str) -> Iterator[Body]:
        """Add the message of a result, and yield its images."""
        call = block.get("tool_use_id")
        if not isinstance(call, str) or self._open.pop(call, None) is None:
            shown = f" `{call[:120]}`" if isinstance(call, str) else ""
            what = f"`{where}.tool_use_id`{shown} names no `tool_use` of the message before"
            raise BadRequest(what, param=f"{where}.tool_use_id")
        parts = list(self._result_parts(block.get("content"), f"{where}.content"))
        text = "\n\n".join(part["text"] for part in parts if part["type"] == "text")
        if block.get("is_error") is True:
            text = _ERROR + text
        self._messages.append({"role": "tool", "tool_call_id": call, "content": text})
        yield from (part for part in parts if part["type"] != "text")

    def _result_parts(self, content: Any, where: str) -> Iterator[Body]:
        if content is None or content == []:
            return
        for block, at in _blocks(content, where):
            if kind_of(block, at, USER) == "tool_result":
                raise must_be(at, "a text, an image, a document or a search_result")
            yield self._part(block, at)

    # The model -----------------------------------------------------------------------------------
    def _assistant(self, places: list[Place]) -> None:
        texts, thoughts, calls = list[str](), list[str](), list[Body]()
        for block, where in places:
            match kind_of(block, where, ASSISTANT):
                case "text":
                    texts.append(text_of(block, where))
                case "thinking":
                    thoughts.append(text_of(block, where, "thinking"))
                case "tool_use":
                    calls.append(self._call(block, where))
        message: Body = {"role": ASSISTANT, "content": "".join(texts)}
        if calls:
            message |= {"content": message["content"] or None, "tool_calls": calls}
        if any(thoughts):
            self._thoughts.append((message, "\n\n".join(thoughts)))
        self._messages.append(message)

    def _call(self, block: Body, where: str) -> Body:
        call, name = text_of(block, where, "id"), text_of(block, where, "name")
        if not call or call in self._open:
            raise must_be(f"{where}.id", "an id that no other `tool_use` of the message has")
        if not isinstance(arguments := block.get("input"), dict):
            raise must_be(f"{where}.input", "an object")
        self._open[call] = where
        function = {"name": name, "arguments": orjson.dumps(arguments).decode()}
        return {"id": call, "type": "function", "function": function}

    def _check_results(self) -> None:
        """Raises BadRequest for a call without a result."""
        if not self._open:
            return
        call, where = next(iter(self._open.items()))
        what = f"`{where}` (`{call[:120]}`) has no `tool_result` in the message after it"
        raise BadRequest(what, param=where)


def _content(parts: list[Body]) -> str | list[Body]:
    """Returns one text where there are only texts: not each template reads lists."""
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return parts
