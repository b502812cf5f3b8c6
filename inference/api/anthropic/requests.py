"""Turns a request into the body of a chat, which `inference/validation` checks."""

from typing import Any, NamedTuple

from inference.api.anthropic import conversation, fields, system, tools
from inference.api.anthropic.answers import Thoughts
from inference.engines.base import Engine
from inference.errors import BadRequest, must_be
from inference.intake.access import allowed
from inference.validation import requests
from inference.validation.schemas import Body
from tenants.caller import Caller

LEAST_BUDGET = 1024  # tokens of thinking, as at Anthropic
THINKING = {
    "enabled": "the model thinks. `budget_tokens` (1024 or more, less than `max_tokens`) is told "
    "to its template, which may not read it: `max_tokens` bounds both",
    "adaptive": "the model thinks",
    "between_tools": "the model thinks",
    "disabled": "the model is told not to; what it thinks all the same is not sent",
}
DISPLAYS = ("summarized", "omitted")
EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_WITHOUT_TOOLS = ("auto", "none")  # choices that say nothing there, and that vLLM would refuse
_SAME = ("model", "stream", "temperature", "top_p", "top_k")


class ChatRequest(NamedTuple):
    body: Body
    thoughts: Thoughts


def chat(caller: Caller, sent: Body, *, for_answer: bool = True) -> ChatRequest:
    """Returns the body of a chat. Raises BadRequest, NoSuchModel, Unavailable."""
    present = fields.checked(sent)
    engine = allowed.engine_for(caller, requests.model_of(present))
    if isinstance(messages := present.get("messages"), list):
        requests.check_count(len(messages), engine)
    if for_answer and "max_tokens" not in present:
        raise must_be("max_tokens", f"{fields.FIELDS['max_tokens'].rule.should}: it is required")
    body: Body = {name: present[name] for name in _SAME if name in present}
    body["messages"] = conversation.messages(messages, engine)
    if text := system.prompt(present.get("system", "")):
        body["messages"].insert(0, {"role": "system", "content": text})
    body |= _limits(present, engine) | _tools(present) | _output(present.get("output_config", {}))
    thinking = present.get("thinking")
    if thinking is not None:
        body |= _thinking(thinking, present, engine)
    return ChatRequest(body, _thoughts(thinking or {}))


def _limits(present: Body, engine: Engine) -> Body:
    """Returns limits and names. An answer that may fill the context has no limit of its own."""
    body: Body = {}
    if (most := present.get("max_tokens")) and most < engine.context_length:
        body["max_tokens"] = most
    if stops := present.get("stop_sequences"):
        body["stop"] = stops
    if user := present.get("metadata", {}).get("user_id"):
        body["user"] = user
    return body


def _tools(present: Body) -> Body:
    body: Body = {}
    if present.get("tools"):
        body["tools"] = tools.functions(present["tools"])
    if choice := present.get("tool_choice"):
        wish = tools.choice(choice)
        if body or wish["tool_choice"] not in _WITHOUT_TOOLS:
            body |= wish
    return body


def _output(config: Body) -> Body:
    body: Body = {}
    if unknown := config.keys() - {"effort", "format"}:
        name = f"output_config.{min(unknown)}"
        raise BadRequest(f"`{name}` is not a field of `output_config`", param=name)
    if (effort := config.get("effort")) is not None:
        if not isinstance(effort, str) or effort not in EFFORTS:
            raise must_be("output_config.effort", f"one of {', '.join(EFFORTS)}")
        body["reasoning_effort"] = EFFORTS[effort]
    if (form := config.get("format")) is not None:
        body["response_format"] = _format(form)
    return body


def _format(form: Any) -> Body:
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        raise must_be("output_config.format", "an object whose `type` is json_schema")
    if not isinstance(schema := form.get("schema"), dict):
        raise must_be("output_config.format.schema", "a JSON schema")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


# Thinking -----------------------------------------------------------------------------------------
def _thinking(config: Body, present: Body, engine: Engine) -> Body:
    kind, budget = config.get("type"), config.get("budget_tokens")
    if not isinstance(kind, str) or kind not in THINKING:
        raise must_be("thinking.type", f"one of {', '.join(THINKING)}")
    if config.get("display") is not None and config["display"] not in DISPLAYS:
        raise must_be("thinking.display", f"one of {', '.join(DISPLAYS)}")
    if kind == "enabled":
        most = present.get("max_tokens", fields.MOST_TOKENS)
        if type(budget) is not int or not LEAST_BUDGET <= budget < most:
            should = f"a whole number from {LEAST_BUDGET}, less than `max_tokens`"
            raise must_be("thinking.budget_tokens", should)
    return engine.thinking(on=kind != "disabled", budget=budget if kind == "enabled" else None)


def _thoughts(config: Body) -> Thoughts:
    if config.get("type") == "disabled":
        return Thoughts.HIDDEN
    return Thoughts.OMITTED if config.get("display") == "omitted" else Thoughts.SHOWN
