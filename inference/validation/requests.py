"""Checks of a request's fields. A refusal names the field, the fault, and what would be right.

The fields that an engine gets are in `inference/engines/fields.py` and in its kind, the abilities
of its model in `inference/engines/capabilities.py`. The checks here are the same for all.
"""

from enum import Enum, auto
from typing import Any

from inference.engines.base import Engine, context_exceeded
from inference.engines.choices import ONE, Several, prompts_of
from inference.engines.fields import (
    HINTS,
    MOST_CHOICES,
    TEXT,
    Fields,
    integer,
    number,
    strings,
    tokens,
)
from inference.errors import BadRequest, must_be
from inference.order import EMBED, RERANK
from inference.validation import bounded_json
from inference.validation.messages import check_messages, media_length, unsupported
from inference.validation.schemas import DEEPEST, Body, check_schemas, deeper
from inference.validation.strict import check_enforced
from inference.validation.tools import check_tools
from inference.validation.vectors import checked_task

LONGEST_TOKEN = 16  # bytes of JSON, on average over a text
DEFAULT_COMPLETION = 16  # tokens of POST /v1/completions, as OpenAI has it
DEFAULT_ANSWER = 256  # tokens that the fair queue assumes without a limit of the client
# The plain call's (POST /v1/inference); the prompt and its limit are checked as a completion's.
PLAIN: Fields = {
    "model": TEXT["model"],
    "prompt": TEXT["prompt"],
    "max_tokens": TEXT["max_tokens"],
    "temperature": number(0.1, 1.0),
    "stop_words": strings(16),
}
_GUIDES = ("guided_json", "guided_choice", "structured_outputs")


class Form(Enum):
    CHAT = auto()  # of POST /v1/chat/completions
    TEXT = auto()  # of POST /v1/completions
    PLAIN = auto()  # the plain call: prompt, max_tokens, temperature, stop_words
    EMBEDDINGS = auto()  # of POST /v1/embeddings
    RERANK = auto()  # of POST /v1/rerank

    @property
    def task(self) -> str:
        """Returns the order's task; "" for completions."""
        return _TASKS.get(self, "")


_TASKS = {Form.EMBEDDINGS: EMBED, Form.RERANK: RERANK}


def checked(body: Body, length: int, form: Form, engine: Engine) -> Body:
    """Check a body and return it in OpenAI's form. Raises BadRequest.

    `length` is the number of bytes that arrived.
    """
    if form.task:
        return checked_task(body, engine, form.task)
    check_length(length, body, engine)
    match form:
        case Form.CHAT:
            check_chat(body, engine)
        case Form.TEXT:
            check_completion(body, engine)
        case Form.PLAIN:
            return plain_call(body, engine)
    return body


def parsed(raw: bytes) -> Body:
    """Parse the body within some 50 ms for 4 MiB, whatever it is. Raises BadRequest."""
    try:
        body = bounded_json.loads(raw)
    except bounded_json.TooManyValues as problem:
        raise BadRequest(f"the body cannot be read: {problem}", code="invalid_json") from None
    except ValueError as problem:
        raise BadRequest(f"the body is not valid JSON: {problem}", code="invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object", code="invalid_json")
    if raw.count(b"[") + raw.count(b"{") > DEEPEST:
        check_depth(body)
    return body


def check_depth(body: Body) -> None:
    """Raises BadRequest."""
    for name, value in body.items():
        if deeper(value, DEEPEST):
            what = f"`{name}` is nested too deeply: more than {DEEPEST} levels"
            raise BadRequest(what, code="invalid_json", param=name)


def model_of(body: Body) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("`model` must name a model; GET /v1/models lists them", param="model")
    return model


def check_length(raw_length: int, body: Body, engine: Engine) -> None:
    """Refuse a request that can never fit, before it takes a place. Images are not counted."""
    messages, prompt = body.get("messages"), body.get("prompt")
    context = engine.context_length
    if isinstance(messages, list):
        raw_length -= sum(map(media_length, messages))
    fits = may_fit(raw_length, engine)
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], int):
        fits = len(prompt) <= context
    elif len(several := prompts_of(body)) > 1:
        fits = all(_may_fit_alone(each, engine) for each in several)
    if not fits:
        raise too_long(engine, "messages" if messages else "prompt")


def may_fit(raw_length: int, engine: Engine) -> bool:
    return raw_length <= engine.context_length * LONGEST_TOKEN


def _may_fit_alone(prompt: Any, engine: Engine) -> bool:
    """Returns whether one of several prompts may fit. One that is no prompt is refused later."""
    if isinstance(prompt, list):
        return len(prompt) <= engine.context_length
    return not isinstance(prompt, str) or may_fit(len(prompt), engine)


def too_long(engine: Engine, field: str) -> BadRequest:
    message = context_exceeded(engine.context_length, what=field)
    return BadRequest(message, code="context_length_exceeded", param=field)


def check_count(messages: int, engine: Engine) -> None:
    """Check that the messages can fit: each takes at least a token. Raises BadRequest."""
    if messages > engine.context_length:
        message = context_exceeded(engine.context_length)
        raise BadRequest(message, code="context_length_exceeded", param="messages")


# The fields --------------------------------------------------------------------------------------
def check_chat(body: Body, engine: Engine) -> None:
    _check(body, engine, chat=True)
    check_messages(body.get("messages"), engine)
    check_tools(body, engine)


def check_text(body: Body, engine: Engine) -> None:
    """Check a text completion. A list of one prompt becomes that prompt."""
    _check(body, engine, chat=False)
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        body["prompt"] = prompt = prompt[0]
    several = prompts_of(body)
    if not all(map(_is_prompt, several)):
        raise must_be("prompt", "a non-empty string, a list of tokens, or a list of these")
    if len(several) * int(body.get("n") or 1) > MOST_CHOICES:
        what = f"`prompt` and `n` ask for more than {MOST_CHOICES} answers: send fewer prompts"
        raise BadRequest(what, code="unsupported_value", param="prompt")


def _is_prompt(value: Any) -> bool:
    """Returns whether it is a text or a list of tokens, and not empty."""
    if isinstance(value, list):
        return bool(value) and tokens(len(value)).holds(value)
    return isinstance(value, str) and value != ""


def check_completion(body: Body, engine: Engine) -> None:
    """Check a text completion, and set OpenAI's default of a missing `max_tokens`."""
    check_text(body, engine)
    if body.get("max_tokens") is None:
        body["max_tokens"] = DEFAULT_COMPLETION


def _check(body: Body, engine: Engine, *, chat: bool) -> None:
    _check_answers(engine)
    fields = engine.fields(chat=chat)
    for name, value in body.items():
        if value is None:
            continue
        rule = fields.get(name) or HINTS.get(name)
        if rule is None:
            raise BadRequest(f"`{name}` is not supported for this model: leave it out", param=name)
        if not rule.holds(value):
            raise must_be(name, rule.should)
    _check_capabilities(body, engine)
    check_schemas(body, engine.most_choices, engine.most_readings)
    if body.get("best_of") is not None:
        _check_best_of(body)
    if form := body.get("response_format"):
        _check_format(form, engine)
    options = body.get("stream_options")
    if options and not body.get("stream"):
        raise BadRequest("`stream_options` needs `stream`: true", param="stream_options")
    limit = integer(1, engine.context_length)
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is not None and not limit.holds(value):
            raise must_be(name, f"{limit.should}, this model's context length")
    most = body.get("max_completion_tokens") or body.get("max_tokens") or engine.context_length
    if (body.get("min_tokens") or 0) > most:
        raise must_be("min_tokens", f"at most {most}")


def _check_best_of(body: Body) -> None:
    """Raises BadRequest where more answers would be made than given out."""
    best_of, n = body["best_of"], int(body.get("n") or 1)
    if best_of != n or isinstance(best_of, bool):
        should = f"{n}, as `n` is: no answer is made to be thrown away; ask for `n` and choose"
        raise must_be("best_of", should, code="unsupported_value")


def _check_answers(engine: Engine) -> None:
    if engine.capabilities.text:
        return
    what = "makes embeddings, no text" if engine.known.get("embeddings") else "makes no text"
    raise BadRequest(
        f"the model `{engine.config.name}` {what}: it takes neither chats nor completions",
        code="unsupported_value",
        param="model",
    )


def _check_capabilities(body: Body, engine: Engine) -> None:
    can = engine.capabilities
    if body.get("tools") and not can.tools:
        raise unsupported(engine, "tools", "tools")
    if body.get("logprobs") not in (None, False) and not can.logprobs:
        raise unsupported(engine, "logprobs", "logprobs")
    if body.get("top_logprobs") and not body.get("logprobs"):
        raise BadRequest("`top_logprobs` needs `logprobs`: true", param="top_logprobs")
    for name in _GUIDES:
        if body.get(name) and not can.json_schema:
            raise unsupported(engine, "a JSON schema", name)


def _check_format(form: Body, engine: Engine) -> None:
    """Check `response_format`. llama.cpp and others also take `schema` beside the type."""
    where = "response_format"
    if unknown := sorted(form.keys() - {"type", "json_schema", "schema"}):
        raise BadRequest(f"`{where}.{unknown[0]}` is not a field of `{where}`", param=where)
    if form.get("schema") is not None:
        _check_schema(form["schema"], f"{where}.schema", engine)
    if form["type"] == "json_schema":
        inner = form.get("json_schema")
        if not isinstance(inner, dict):
            raise BadRequest(f"`{where}.json_schema.schema` must be a JSON schema", param=where)
        _check_schema(inner.get("schema"), f"{where}.json_schema.schema", engine)
        if not isinstance(inner.get("strict"), bool | None):
            raise BadRequest(f"`{where}.json_schema.strict` must be true or false", param=where)
        if inner.get("strict"):
            check_enforced(inner["schema"], f"{where}.json_schema.schema", engine)


def _check_schema(schema: Any, name: str, engine: Engine) -> None:
    if not engine.capabilities.json_schema:
        raise unsupported(engine, "a JSON schema", "response_format")
    if not isinstance(schema, dict):
        raise BadRequest(f"`{name}` must be a JSON schema", param="response_format")


def estimate(raw_length: int, body: Body, several: Several = ONE) -> int:
    """Returns the tokens that the fair queue charges until the settlement corrects them."""
    answer = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_ANSWER
    return raw_length // 4 * several.reads + 2 * int(answer) * several.count


def plain_call(fields: Body, engine: Engine) -> Body:
    """Returns the body for /v1/completions of a POST /v1/inference. Raises BadRequest."""
    for name, rule in PLAIN.items():
        if fields.get(name) is not None and not rule.holds(fields[name]):
            raise must_be(name, rule.should)
    if unknown := fields.keys() - PLAIN.keys():
        name = min(unknown)
        raise BadRequest(f"`{name}` is not a field of this call", param=name)
    names = {"stop_words": "stop"}
    body = {names.get(k, k): v for k, v in fields.items() if v is not None}
    check_completion(body, engine)
    if len(prompts_of(body)) > 1:
        raise must_be("prompt", "one prompt: POST /v1/completions takes several")
    return body
