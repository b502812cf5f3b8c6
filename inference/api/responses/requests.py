"""Turns a request into the body of a chat, which `inference/validation` checks."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson

from inference.api.responses import conversation, fields, items, tools
from inference.api.responses.items import Item
from inference.engines.base import Engine
from inference.errors import BadRequest, must_be
from inference.intake.access import allowed
from inference.intake.prompt_templates import FIELD as TEMPLATE
from inference.validation import requests
from inference.validation.schemas import Body
from tenants.caller import Caller

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = ("auto", "concise", "detailed")
_VERBOSITIES = ("low", "medium", "high")
_FORMATS = ("text", "json_object", "json_schema")
_SAME = ("model", "stream", "temperature", "top_p", "presence_penalty", "frequency_penalty", "user")
_SAME_OF_TOOLS = ("parallel_tool_calls",)
# What a response says where its request says nothing.
_DEFAULTS: Body = {
    "background": False,
    "frequency_penalty": 0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "previous_response_id": None,
    "prompt": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1,
    "truncation": "disabled",
    "user": None,
}


class ResponseRequest(NamedTuple):
    """A checked request. `head` is what its response says of it."""

    body: Body  # of the chat
    head: Body
    earlier: list[Item]  # those of earlier responses
    listed: list[Item]  # its own, as the client sent them
    packs_thoughts: bool  # `encrypted_content` is wanted
    length: int  # bytes


def read(
    caller: Caller,
    present: Body,
    length: int,
    earlier: list[Item],
    references: dict[str, Item],
) -> ResponseRequest:
    """Returns the request of checked fields. Raises BadRequest, NoSuchModel, Unavailable.

    `earlier` are the items before its own input, `references` those that it names, by id.
    """
    target = allowed.target_for(caller, requests.model_of(present))
    engine = target.engine
    listed = [_referenced(item, references) for item in items.listed(present.get("input"))]
    with own_names():
        requests.check_count(len(earlier) + len(listed), engine)
    text, wanted = present.get("instructions", ""), present.get("include", ())
    chat = conversation.messages([*earlier, *listed], text, engine, len(earlier))
    own_tools = tools.taken(present.get("tools") or [])
    body: Body = {name: present[name] for name in _SAME if name in present}
    body |= _prompt(present, chat) | _limits(present, engine)
    body |= _tools(present, own_tools) | _text(present.get("text", {}), engine)
    body |= _reasoning(present.get("reasoning", {}), engine)
    if fields.LOGPROBS in wanted:
        body |= {"logprobs": True, "top_logprobs": present.get("top_logprobs", 0)}
    if earlier or references:  # what the engine gets is longer than what has arrived
        length += len(orjson.dumps([*earlier, *references.values()]))
    packs = fields.ENCRYPTED in wanted
    head = _head({**present, "model": target.name}, own_tools)
    return ResponseRequest(body, head, earlier, listed, packs, length)


def _referenced(item: Any, references: dict[str, Item]) -> Any:
    is_one = isinstance(item, dict) and item.get("type") in (items.REFERENCE, None)
    return references.get(str(item.get("id")), item) if is_one and references else item


def _prompt(present: Body, messages: list[Body]) -> Body:
    """Returns the messages, behind those of a template that the request names."""
    if (prompt := present.get("prompt")) is None:
        if not messages:
            raise must_be("input", "a text, or a list with at least one item")
        return {"messages": messages}
    fields.check_keys(prompt, "prompt", "id", "version", "variables")
    if not isinstance(name := prompt.get("id"), str) or not name:
        raise must_be("prompt.id", "the name of a prompt template")
    if not isinstance(version := prompt.get("version"), str | None):
        raise must_be("prompt.version", "a string")
    body: Body = {TEMPLATE: f"{name}@{version}" if version else name}
    if (variables := prompt.get("variables")) is not None:
        body["variables"] = variables
    return body | {"messages": messages} if messages else body


def _limits(present: Body, engine: Engine) -> Body:
    """Returns the bound of the answer; none for one that may fill the context."""
    most = present.get("max_output_tokens")
    return {"max_tokens": most} if most and most < engine.context_length else {}


def _tools(present: Body, own: list[Body]) -> Body:
    body = tools.chosen(present.get("tool_choice"), own)
    same = {name: present[name] for name in _SAME_OF_TOOLS if name in present}
    return body | same if body else body


def _text(config: Body, engine: Engine) -> Body:
    fields.check_keys(config, "text", "format", "verbosity")
    body: Body = {}
    if (verbosity := config.get("verbosity")) is not None:
        if verbosity not in _VERBOSITIES:
            raise must_be("text.verbosity", f"one of {', '.join(_VERBOSITIES)}")
        if "verbosity" in engine.fields(chat=True):
            body["verbosity"] = verbosity
    if (form := config.get("format")) is not None:
        body |= _format(form)
    return body


def _format(form: Any) -> Body:
    kind = form.get("type") if isinstance(form, dict) else None
    if not isinstance(kind, str) or kind not in _FORMATS:
        raise must_be("text.format", f"an object whose `type` is one of {', '.join(_FORMATS)}")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": kind}}
    fields.check_keys(form, "text.format", "type", "name", "schema", "strict", "description")
    if not isinstance(schema := form.get("schema"), dict):
        raise must_be("text.format.schema", "a JSON schema")
    if not isinstance(name := form.get("name", "answer"), str):
        raise must_be("text.format.name", "a name")
    inner = {"name": name, "schema": schema}
    inner |= {key: form[key] for key in ("strict", "description") if form.get(key) is not None}
    return {"response_format": {"type": kind, "json_schema": inner}}


def _reasoning(config: Body, engine: Engine) -> Body:
    names = ("effort", "summary", "generate_summary", "context", "mode")
    fields.check_keys(config, "reasoning", *names)
    for name in ("summary", "generate_summary"):
        if config.get(name) is not None and config[name] not in _SUMMARIES:
            raise must_be(f"reasoning.{name}", f"one of {', '.join(_SUMMARIES)}")
    if (effort := config.get("effort")) is None:
        return {}
    if not isinstance(effort, str) or effort not in EFFORTS:
        raise must_be("reasoning.effort", f"one of {', '.join(EFFORTS)}")
    switch = engine.thinking(on=False, budget=None) if effort == "none" else {}
    return {"reasoning_effort": effort, **switch}


# The response -------------------------------------------------------------------------------------
def head_of(model: str) -> Body:
    """Returns the head of a response of whose request nothing is known."""
    return _head({"model": model, "store": False}, [])


def _head(present: Body, own_tools: list[Body]) -> Body:
    own = {name: present[name] for name in _DEFAULTS if name in present}
    config, text = present.get("reasoning", {}), present.get("text", {})
    summary = config.get("summary") or config.get("generate_summary")
    return {
        "model": present["model"],
        **_DEFAULTS,
        **own,
        "truncation": "disabled",
        "service_tier": "default",
        "tools": own_tools,
        "reasoning": {"effort": config.get("effort"), "summary": summary},
        "text": {"format": _shown_format(text.get("format")), "verbosity": _verbosity(text)},
    }


def _shown_format(form: Body | None) -> Body:
    if form is None or form["type"] != "json_schema":
        return form or {"type": "text"}
    own = {"name": "answer", "description": None, "strict": False}
    return own | {name: value for name, value in form.items() if value is not None}


def _verbosity(text: Body) -> str:
    return text.get("verbosity") or "medium"


# Errors -------------------------------------------------------------------------------------------
_NAMES = {
    "messages": "input",
    "prompt": "input",
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "template": "prompt",
    "variables": "prompt.variables",
}
_FUNCTION = re.compile(
    r"(?<=\])\.function(?=\.)"
)  # of a chat's tool: here its fields are the tool's


@contextmanager
def own_names() -> Iterator[None]:
    """Let the errors of a chat's checks name the fields of this API."""
    try:
        yield
    except BadRequest as error:
        param = error.param or ""
        if (own := _NAMES.get(param) or _FUNCTION.sub("", param, count=1)) != param:
            error.message = error.message.replace(f"`{param}", f"`{own}")
            error.param = own
        raise
