"""Checks of a chat's messages: roles, parts, and the sources of images and sounds."""

from typing import Any

import orjson

from inference.engines.base import Engine
from inference.engines.capabilities import MEDIA, OF_PART
from inference.errors import BadRequest, must_be
from inference.validation import bounded_json
from inference.validation.bounded_json import MOST_CONTAINERS, TooManyValues
from inference.validation.schemas import DEEPEST, Body, deeper

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
CALLS = ("tool_calls", "function_call")
BESIDE = frozenset({"type", "cache_control", "prompt_cache_breakpoint"})
# The fields of a medium, the one that holds it first.
HOLDS = {
    "image_url": ("url", "detail"),
    "audio_url": ("url",),
    "video_url": ("url",),
    "input_audio": ("data", "format"),
    "file": ("file_data", "filename"),
}


def unsupported(engine: Engine, what: str, param: str) -> BadRequest:
    message = f"the model `{engine.config.name}` does not take {what}: leave it out (`{param}`)"
    return BadRequest(message, code="unsupported_value", param=param)


def check_messages(messages: Any, engine: Engine) -> None:
    """Raises BadRequest."""
    if not isinstance(messages, list) or not messages:
        raise must_be("messages", "a list with at least one message")
    for i, message in enumerate(messages):
        _check_message(message, f"messages[{i}]", engine)
    _check_arguments(messages)


def _check_message(message: Any, where: str, engine: Engine) -> None:
    if not isinstance(message, dict):
        raise must_be(where, "an object with role and content")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise must_be(f"{where}.role", f"one of {', '.join(sorted(ROLES))}")
    if message["role"] == "assistant" and not engine.knows_refusals:
        _refusals_to_text(message)
    _check_content(message, where, engine)
    for name in CALLS:
        if message.get(name) and not engine.capabilities.tools:
            raise unsupported(engine, "calls of tools", f"{where}.{name}")


def _check_content(message: Body, where: str, engine: Engine) -> None:
    content = message.get("content")
    if isinstance(content, str):
        return
    if isinstance(content, list) and (content or message["role"] == "assistant"):
        for i, part in enumerate(content):
            _check_part(part, f"{where}.content[{i}]", engine)
        return
    alternatives = (*CALLS, "refusal") if engine.knows_refusals else CALLS
    if message["role"] == "assistant" and content is None and any(map(message.get, alternatives)):
        return
    raise must_be(f"{where}.content", "a string or a non-empty list")


def _refusals_to_text(message: Body) -> None:
    """Turn refusals into texts, as every chat template has them."""
    content, refusal = message.get("content"), message.pop("refusal", None)
    if not content and isinstance(refusal, str) and refusal:
        message["content"] = refusal
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "refusal":
            part["type"], part["text"] = "text", part.pop("refusal", None)


# Parts -------------------------------------------------------------------------------------------
def _check_part(part: Any, where: str, engine: Engine) -> None:
    kinds = (*engine.parts, "refusal") if engine.knows_refusals else engine.parts
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in kinds:
        if isinstance(kind, str) and kind in MEDIA:
            raise unsupported(engine, f"parts of the type {kind}", where)
        raise must_be(where, f"an object whose `type` is one of {', '.join(kinds)}")
    needs = OF_PART.get(kind)
    if needs and not getattr(engine.capabilities, needs):
        raise unsupported(engine, needs, where)
    if unknown := part.keys() - BESIDE - {kind}:
        raise BadRequest(f"`{where}.{min(unknown)}` is not a field of a {kind} part", param=where)
    if kind in MEDIA:
        _check_medium(part.get(kind), kind, f"{where}.{kind}", where)
    elif not isinstance(part.get(kind), str):
        raise BadRequest(f"`{where}.{kind}` must be a string", param=where)


def _check_medium(medium: Any, kind: str, name: str, where: str) -> None:
    first, *others = HOLDS[kind]
    if first == "url" and isinstance(medium, str):
        medium = {"url": medium}
    if not isinstance(medium, dict) or not isinstance(medium.get(first), str):
        raise BadRequest(f"`{name}` must be an object with `{first}`", param=where)
    for other in sorted(medium.keys() - {first}):
        if other not in others or not isinstance(medium[other], str):
            raise BadRequest(f"`{name}.{other}` is not a field of {kind}", param=where)
    _check_source(medium[first], f"{name}.{first}", where, is_url=first == "url")


def _check_source(source: str, name: str, where: str, *, is_url: bool) -> None:
    """Refuse addresses: an engine could reach hosts in the private network that a client cannot.

    Bare base64 has no colon, so what has one is an address or a `data:` URL.
    """
    if source.startswith("data:") or (not is_url and ":" not in source):
        return
    what = f"`{name}` must be {'a `data:` URL' if is_url else 'base64'}: nothing is fetched for you"
    raise BadRequest(what, code="address_not_fetched", param=where)


def media_length(message: Any) -> int:
    """Returns the bytes of JSON that are no text."""
    content = message.get("content") if isinstance(message, dict) else None
    length = 0
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in MEDIA:
            length += len(orjson.dumps(part.get(kind)))
    return length


# Calls of tools ----------------------------------------------------------------------------------
def _arguments(message: Body) -> list[Any]:
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    functions = [call.get("function") for call in calls if isinstance(call, dict)]
    functions.append(message.get("function_call"))
    return [function.get("arguments") for function in functions if isinstance(function, dict)]


def _check_arguments(messages: list[Any]) -> None:
    """Check that the arguments of all calls hold no more objects and lists than a body may."""
    room = MOST_CONTAINERS
    for i, message in enumerate(messages):
        for arguments in _arguments(message):
            if isinstance(arguments, str):
                room -= _check_call(arguments, f"messages[{i}]", room)


def _check_call(arguments: str, where: str, room: int) -> int:
    """Returns an upper bound of the objects and lists in the arguments."""
    if (few := arguments.count("[") + arguments.count("{")) <= min(DEEPEST, room):
        return few
    text = arguments.encode()
    try:
        containers = bounded_json.containers(text, room)
    except TooManyValues as problem:
        what = f"the arguments of all calls up to `{where}` cannot be read: {problem} altogether"
        raise BadRequest(what, param=where) from None
    _check_depth(text, where)
    return containers


def _check_depth(text: bytes, where: str) -> None:
    """Check JSON in a string, which engines parse and walk too."""
    try:
        too_deep = deeper(orjson.loads(text), DEEPEST)
    except ValueError as problem:
        too_deep = "depth limit" in str(problem)
        if not too_deep:
            what = f"the arguments of a call in `{where}` are not valid JSON: {problem}"
            raise BadRequest(what, param=where) from None
    if too_deep:
        what = f"JSON that is nested at most {DEEPEST} levels deep"
        raise BadRequest(f"the arguments of a call in `{where}` must be {what}", param=where)
