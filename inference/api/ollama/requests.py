"""Turns a request into one in OpenAI's form, which `inference/validation` checks."""

from typing import Any, NamedTuple

from inference.api.ollama import conversation, names
from inference.api.ollama.lines import Shape
from inference.api.ollama.options import sampling
from inference.engines.base import Engine
from inference.errors import BadRequest, must_be
from inference.intake.access import allowed
from inference.validation import requests
from inference.validation.requests import Form
from inference.validation.schemas import Body
from tenants.caller import Caller

LEAST_ANSWER = 128  # tokens of an answer without a template and without a limit
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "max": "high"}
_BESIDE_RAW = ("system", "format", "logprobs")


class ModelRequest(NamedTuple):
    """A request for an answer, and how it is written."""

    body: Body
    form: Form
    shape: Shape
    is_streamed: bool
    shows_thinking: bool
    client_body: Body


def chat(caller: Caller, present: Body) -> ModelRequest:
    """Returns the chat of checked fields. Raises BadRequest, NoSuchModel, Unavailable."""
    model, body, engine = _begun(caller, present)
    listed = present["messages"]
    requests.check_count(len(listed), engine)
    body |= _common(present, engine)
    body["messages"] = conversation.messages(listed, engine)
    if tools := present.get("tools"):
        body["tools"] = [_function(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
    return _request(body, Form.CHAT, Shape(model, is_chat=True), present)


def generate(caller: Caller, present: Body, length: int) -> ModelRequest:
    """Returns the chat, or without a template the text, of checked fields of `length` bytes.

    Raises like `chat`.
    """
    model, body, engine = _begun(caller, present)
    shape = Shape(model, is_chat=False)
    if not requests.may_fit(length, engine):
        raise requests.too_long(engine, "prompt")
    if present.get("raw") or present.get("suffix"):
        body |= _plain(present, engine)
        return _request(body, Form.TEXT, shape, present)
    body |= _common(present, engine)
    turns = (("system", present.get("system")), ("user", present["prompt"]))
    body["messages"] = [{"role": role, "content": text} for role, text in turns if text]
    return _request(body, Form.CHAT, shape, present)


def _begun(caller: Caller, present: Body) -> tuple[str, Body, Engine]:
    """Returns the client's name of the model, a body with ours, and its engine."""
    model = names.name_in(present)
    own = names.known_as(caller, model)
    return model, {"model": own}, allowed.engine_for(caller, own)


def _request(body: Body, form: Form, shape: Shape, present: Body) -> ModelRequest:
    streamed = present.get("stream", True)
    if streamed:
        body["stream"] = True  # an idempotency key is for one way to answer
    shows_thinking = present.get("think") is not False
    return ModelRequest(body, form, shape, streamed, shows_thinking, present)


def _common(present: Body, engine: Engine) -> Body:
    """Returns the fields of a chat that both calls have."""
    body = sampling(present.get("options", {}), engine, chat=True)
    if (form := present.get("format")) == "json":
        body["response_format"] = {"type": "json_object"}
    elif form:
        schema = {"name": "answer", "schema": form}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if (think := present.get("think")) is not None:
        body |= engine.thinking(on=bool(think), budget=None)
        if isinstance(think, str):
            body["reasoning_effort"] = _EFFORTS[think]
    if present.get("logprobs"):
        body |= {"logprobs": True, "top_logprobs": present.get("top_logprobs", 0)}
    return body


def _plain(present: Body, engine: Engine) -> Body:
    """Returns the fields of a prompt without a template."""
    for name in _BESIDE_RAW:
        if present.get(name):
            beside = "raw" if present.get("raw") else "suffix"
            raise BadRequest(f"`{name}` has no place beside `{beside}`: leave it out", param=name)
    body = sampling(present.get("options", {}), engine, chat=False)
    body["prompt"] = present["prompt"]
    if suffix := present.get("suffix"):
        body["suffix"] = suffix
    text = len((present["prompt"] + present.get("suffix", "")).encode())
    room = max(LEAST_ANSWER, engine.context_length - text)
    body.setdefault("max_tokens", min(room, engine.context_length))
    return body


def _function(tool: Any, where: str) -> Body:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        raise must_be(where, "an object with a `function`")
    if (kind := tool.get("type")) not in (None, "function"):
        what = f"`{where}.type` must be function: nothing here runs `{str(kind)[:120]}`"
        raise BadRequest(what, code="unsupported_value", param=f"{where}.type")
    known = ("name", "description", "parameters")
    own = {name: function[name] for name in known if function.get(name) is not None}
    return {"type": "function", "function": own}


# Embeddings ---------------------------------------------------------------------------------------
def embed(caller: Caller, present: Body) -> Body:
    """Returns the request for embeddings. Raises BadRequest, Unavailable."""
    texts = present["input"]
    if isinstance(texts, list) and not all(isinstance(text, str) for text in texts):
        raise must_be("input", "a text, or a list of texts")
    if not isinstance(texts, str | list):
        raise must_be("input", "a text, or a list of texts")
    body: Body = {"model": names.known_as(caller, names.name_in(present)), "input": texts}
    if dimensions := present.get("dimensions"):
        body["dimensions"] = dimensions
    return body | {"encoding_format": "base64"}
