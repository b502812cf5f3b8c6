"""What a request may look like. A wrong one is told what is wrong, where, and what would be right.

Only fields that Forebay relies on are looked at; the others pass through to the engine.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from inference.engines.base import Engine
from inference.openai.errors import BadRequest

Body = dict[str, Any]
LONGEST_TOKEN = 16  # bytes of JSON, on average over a text
DEEPEST = 250
DEFAULT_ANSWER = 256  # tokens: what the fair queue reckons with where the client sets no limit


class Rule(NamedTuple):
    holds: Callable[[Any], bool]
    should: str


def _number(low: float, high: float) -> Rule:
    return Rule(
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high,
        f"a number from {low:g} to {high:g}",
    )


def _integer(low: int, high: int) -> Rule:
    return Rule(
        lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
        f"a whole number from {low} to {high}",
    )


def _strings(most: int) -> Rule:
    return Rule(
        lambda v: (
            isinstance(v, str)
            or (isinstance(v, list) and len(v) <= most and all(isinstance(s, str) for s in v))
        ),
        f"a string or a list of at most {most} strings",
    )


_BOOL = Rule(lambda v: isinstance(v, bool), "true or false")
_OBJECT = Rule(lambda v: isinstance(v, dict), "an object")
_LIST = Rule(lambda v: isinstance(v, list), "a list")
_STRING = Rule(lambda v: isinstance(v, str), "a string")

_COMMON: dict[str, Rule] = {
    "stream": _BOOL,
    "stream_options": _OBJECT,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "seed": _integer(-(2**63), 2**63 - 1),
    "stop": _strings(16),
    "n": Rule(lambda v: v == 1 and not isinstance(v, bool), "1: ask several times instead"),
    "user": _STRING,
}
CHAT: dict[str, Rule] = {
    **_COMMON,
    "logprobs": _BOOL,
    "top_logprobs": _integer(0, 20),
    "tools": _LIST,
    "response_format": _OBJECT,
}
TEXT: dict[str, Rule] = {**_COMMON, "logprobs": _integer(0, 20), "echo": _BOOL}
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


def parsed(raw: bytes) -> Body:
    try:
        body = orjson.loads(raw)
    except ValueError as problem:
        raise BadRequest(f"the body is not valid JSON: {problem}", code="invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object", code="invalid_json")
    if raw.count(b"[") + raw.count(b"{") > DEEPEST:
        _check_depth(body)
    return body


def _check_depth(body: Body) -> None:
    """orjson reads deeper than it writes."""
    try:
        orjson.dumps(body)
    except TypeError:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from None


def model_of(body: Body) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("`model` must name a model; GET /v1/models lists them", param="model")
    return model


def check_chat(body: Body, engine: Engine) -> None:
    _check(body, CHAT, engine)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("`messages` must be a list with at least one message", param="messages")
    for i, message in enumerate(messages):
        _check_message(message, f"messages[{i}]")


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise BadRequest(f"`{where}` must be an object with role and content", param=where)
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        roles = ", ".join(sorted(_ROLES))
        raise BadRequest(f"`{where}.role` must be one of {roles}", param=f"{where}.role")
    content = message.get("content")
    if isinstance(content, str | list) and content:
        return
    if message["role"] == "assistant" and (message.get("tool_calls") or content is not None):
        return
    if message["role"] in ("tool", "function") and isinstance(content, str):
        return
    raise BadRequest(
        f"`{where}.content` must be a non-empty string or list", param=f"{where}.content"
    )


def check_text(body: Body, engine: Engine) -> None:
    _check(body, TEXT, engine)
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise BadRequest("`prompt` must be a non-empty string", param="prompt")


def _check(body: Body, rules: dict[str, Rule], engine: Engine) -> None:
    for name, rule in rules.items():
        value = body.get(name)
        if value is not None and not rule.holds(value):
            raise BadRequest(f"`{name}` must be {rule.should}", param=name)
    options = body.get("stream_options")
    if options and not body.get("stream"):
        raise BadRequest("`stream_options` needs `stream`: true", param="stream_options")
    limit = _integer(1, engine.config.context_length)
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is not None and not limit.holds(value):
            what = f"{limit.should}, this model's context length"
            raise BadRequest(f"`{name}` must be {what}", param=name)


def check_length(raw_length: int, body: Body, engine: Engine) -> None:
    """What can never fit is refused before it takes anybody's place; images are not counted."""
    messages = body.get("messages") or ()
    if any(isinstance(message.get("content"), list) for message in messages):
        return
    tokens = engine.config.context_length
    if raw_length > tokens * LONGEST_TOKEN:
        raise BadRequest(
            f"the prompt does not fit into this model's context of {tokens} tokens; shorten it",
            code="context_length_exceeded",
            param="messages" if messages else "prompt",
        )


def estimate(raw_length: int, body: Body) -> int:
    """Tokens that the fair queue charges in advance; corrected when the request is settled."""
    answer = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_ANSWER
    return raw_length // 4 + 2 * int(answer)


def plain_call(asked: Body, engine: Engine) -> Body:
    """The body for /v1/completions of a POST /v1/inference."""
    rules = {"temperature": _number(0.1, 1.0), "stop_words": _strings(16)}
    for name, rule in rules.items():
        if asked.get(name) is not None and not rule.holds(asked[name]):
            raise BadRequest(f"`{name}` must be {rule.should}", param=name)
    unknown = asked.keys() - {"prompt", "max_tokens", "temperature", "stop_words", "model"}
    if unknown:
        name = sorted(unknown)[0]
        raise BadRequest(f"`{name}` is not a field of this call", param=name)
    names = {"stop_words": "stop"}
    body = {names.get(k, k): v for k, v in asked.items() if v is not None}
    check_text(body, engine)
    return body
