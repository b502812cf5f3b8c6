"""The fields of a request, each with its rule and its effect.

`docs/write_messages.py` writes the tables of docs/api/messages.md from here.
"""

from typing import NamedTuple

from inference.engines.fields import (
    BOOL,
    LIST,
    MESSAGES,
    MODEL,
    OBJECT,
    FieldRule,
    checked_elsewhere,
    integer,
    number,
    one_of,
    only,
)
from inference.errors import BadRequest, must_be
from inference.validation.schemas import Body

MOST_TOKENS = 1_000_000  # that a client may ask for; no model here answers so long
LONGEST_USER_ID = 512  # characters
_USER_ID = FieldRule(
    lambda v: (
        isinstance(v, dict)
        and v.keys() <= {"user_id"}
        and isinstance(v.get("user_id"), str | None)
        and len(v.get("user_id") or "") <= LONGEST_USER_ID
    ),
    f"an object with `user_id`, a string of at most {LONGEST_USER_ID} characters",
    {
        "type": "object",
        "properties": {"user_id": {"type": ["string", "null"], "maxLength": LONGEST_USER_ID}},
        "additionalProperties": False,
    },
)
_STOPS = FieldRule(
    lambda v: isinstance(v, list) and len(v) <= 16 and all(isinstance(s, str) and s for s in v),
    "a list of at most 16 strings, none of them empty",
    {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 16},
)
NO_EFFECT = "checked, without effect: "


class Field(NamedTuple):
    rule: FieldRule
    effect: str


FIELDS: dict[str, Field] = {
    "model": Field(MODEL, "honoured"),
    "max_tokens": Field(
        integer(1, MOST_TOKENS),
        "honoured; required for an answer. At or above the model's context: the rest of it",
    ),
    "messages": Field(MESSAGES, "honoured: [blocks](#blocks)"),
    "system": Field(
        checked_elsewhere(
            "a string, or a list of text blocks",
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
        ),
        "honoured: one system message. A block or line that begins with "
        "`x-anthropic-billing-header` is taken out, so that caches find the prompt",
    ),
    "stream": Field(BOOL, "honoured"),
    "stop_sequences": Field(_STOPS, "honoured: [stop reasons](#stop-reasons)"),
    "temperature": Field(number(0, 1), "honoured"),
    "top_p": Field(number(0, 1), "honoured"),
    "top_k": Field(integer(0, 2**31 - 1), "honoured where the model's engine has it, else refused"),
    "tools": Field(LIST, "honoured: [tools](#tools)"),
    "tool_choice": Field(OBJECT, "honoured: [tools](#tools)"),
    "thinking": Field(OBJECT, "honoured: [thinking](#thinking)"),
    "output_config": Field(
        OBJECT,
        "`effort` is the model's `reasoning_effort` (`xhigh` and `max` are `high`); `format` of "
        "the type `json_schema` is honoured",
    ),
    "metadata": Field(_USER_ID, "`user_id` goes to engines that take a `user`, hosted ones get a "
                      "pseudonym"),
    "service_tier": Field(
        one_of("auto", "standard_only"), NO_EFFECT + "`x-forebay-class` says who goes first"
    ),
    "cache_control": Field(OBJECT, NO_EFFECT + "engines cache prefixes by themselves"),
    "context_management": Field(OBJECT, NO_EFFECT + "the whole conversation reaches the model"),
    "diagnostics": Field(OBJECT, NO_EFFECT + "nothing is reported"),
    "speed": Field(only("standard", "standard"), NO_EFFECT + "there is no other"),
}  # fmt: skip
REFUSED = {
    "container": "nothing runs code here",
    "inference_geo": "`x-forebay-residency: local` keeps a request in this installation",
    "mcp_servers": "nothing here connects to MCP servers: give their tools as `tools`",
}


def checked(body: Body) -> Body:
    """Returns the fields that are set. Raises BadRequest for an unknown or a wrong one."""
    present = {name: value for name, value in body.items() if value is not None}
    for name, value in present.items():
        if field := FIELDS.get(name):
            if not field.rule.holds(value):
                raise must_be(name, field.rule.should)
        elif name not in REFUSED:
            raise BadRequest(f"`{name}` is not a field of this call: leave it out", param=name)
        elif value:
            raise BadRequest(f"`{name}` is not supported: {REFUSED[name]}", param=name)
    return present
