"""What a request may look like. A wrong one is told what is wrong, where, and what would be right.

What an engine gets stands in `inference/engines/fields.py` and with its kind; what goes on here is
the same for all.
"""

from typing import Any

import orjson

from inference.engines.base import Engine
from inference.engines.fields import IGNORED, Rule, integer, number, strings
from inference.openai.errors import BadRequest
from inference.openai.schemas import DEEPEST, Body, check_schemas, deeper

LONGEST_TOKEN = 16  # bytes of JSON, on average over a text
DEFAULT_ANSWER = 256  # tokens: what the fair queue reckons with where the client sets no limit

MEDIA = ("image_url", "input_audio", "audio_url", "video_url", "file")
_PARTS = ("text", "refusal", *MEDIA)
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
    for name, value in body.items():
        if deeper(value, DEEPEST):
            raise BadRequest(
                f"`{name}` is nested too deeply: more than {DEEPEST} levels",
                code="invalid_json",
                param=name,
            )


def model_of(body: Body) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("`model` must name a model; GET /v1/models lists them", param="model")
    return model


def check_chat(body: Body, engine: Engine) -> None:
    _check(body, engine, chat=True)
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
    if isinstance(content, list):
        for i, part in enumerate(content):
            _check_part(part, f"{where}.content[{i}]")
    for arguments in _arguments(message):
        _check_arguments(arguments, where)
    if isinstance(content, str | list) and content:
        return
    if message["role"] == "assistant" and (message.get("tool_calls") or content is not None):
        return
    if message["role"] in ("tool", "function") and isinstance(content, str):
        return
    raise BadRequest(
        f"`{where}.content` must be a non-empty string or list", param=f"{where}.content"
    )


def _check_part(part: Any, where: str) -> None:
    if not isinstance(part, dict) or part.get("type") not in _PARTS:
        raise BadRequest(
            f"`{where}` must be an object whose `type` is one of {', '.join(_PARTS)}", param=where
        )
    kind = part["type"]
    for name in sorted(part.keys() - {"type", kind, "cache_control", "prompt_cache_breakpoint"}):
        raise BadRequest(f"`{where}.{name}` is not a field of a {kind} part", param=where)
    should = "a string" if kind in ("text", "refusal") else "a string or an object"
    if not isinstance(part.get(kind), str if should == "a string" else str | dict):
        raise BadRequest(f"`{where}.{kind}` must be {should}", param=where)


def _arguments(message: Body) -> list[Any]:
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    asked = [call.get("function") for call in calls if isinstance(call, dict)]
    asked.append(message.get("function_call"))
    return [function.get("arguments") for function in asked if isinstance(function, dict)]


def _check_arguments(text: Any, where: str) -> None:
    """They are JSON in a string, which engines read and walk too."""
    if not isinstance(text, str) or text.count("[") + text.count("{") <= DEEPEST:
        return
    try:
        too_deep = deeper(orjson.loads(text), DEEPEST)
    except ValueError:
        too_deep = True
    if too_deep:
        what = f"JSON that is nested at most {DEEPEST} levels deep"
        raise BadRequest(f"the arguments of a call in `{where}` must be {what}", param=where)


def check_text(body: Body, engine: Engine) -> None:
    _check(body, engine, chat=False)
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise BadRequest("`prompt` must be a non-empty string", param="prompt")


def _check(body: Body, engine: Engine, *, chat: bool) -> None:
    fields = engine.fields(chat=chat)
    for name, value in body.items():
        if value is None:
            continue
        rule = fields.get(name) or IGNORED.get(name)
        if rule is None:
            raise BadRequest(f"`{name}` is not supported for this model: leave it out", param=name)
        if not rule.holds(value):
            raise BadRequest(f"`{name}` must be {rule.should}", param=name)
    check_schemas(body)
    options = body.get("stream_options")
    if options and not body.get("stream"):
        raise BadRequest("`stream_options` needs `stream`: true", param="stream_options")
    limit = integer(1, engine.config.context_length)
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is not None and not limit.holds(value):
            what = f"{limit.should}, this model's context length"
            raise BadRequest(f"`{name}` must be {what}", param=name)


def check_length(raw_length: int, body: Body, engine: Engine) -> None:
    """What can never fit is refused before it takes anybody's place; images are not counted."""
    messages = body.get("messages") or ()
    raw_length -= sum(_media_length(message) for message in messages)
    tokens = engine.config.context_length
    if raw_length > tokens * LONGEST_TOKEN:
        raise BadRequest(
            f"the prompt does not fit into this model's context of {tokens} tokens; shorten it",
            code="context_length_exceeded",
            param="messages" if messages else "prompt",
        )


def _media_length(message: Body) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return sum(len(orjson.dumps(part[part["type"]])) for part in parts if part["type"] in MEDIA)


def estimate(raw_length: int, body: Body) -> int:
    """Tokens that the fair queue charges in advance; corrected when the request is settled."""
    answer = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_ANSWER
    return raw_length // 4 + 2 * int(answer)


def plain_call(asked: Body, engine: Engine) -> Body:
    """The body for /v1/completions of a POST /v1/inference."""
    rules: dict[str, Rule] = {"temperature": number(0.1, 1.0), "stop_words": strings(16)}
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
