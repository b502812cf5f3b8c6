"""The fields of a request, each with its rule and its effect.

`docs/write_responses.py` writes the tables of docs/api/responses.md from here.
"""

from typing import NamedTuple

from inference.engines.fields import (
    BOOL,
    CHOICE,
    LIST,
    METADATA,
    MODEL,
    OBJECT,
    STRING,
    FieldRule,
    checked_elsewhere,
    integer,
    number,
    one_of,
    string,
)
from inference.errors import BadRequest, must_be
from inference.validation.schemas import Body

MOST_TOKENS = 1_000_000  # that a client may ask for; no model here answers so long
NO_EFFECT = "checked, without effect: "
ENCRYPTED, LOGPROBS = "reasoning.encrypted_content", "message.output_text.logprobs"
_WITHOUT_EFFECT = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
)
INCLUDABLE = (ENCRYPTED, LOGPROBS, *_WITHOUT_EFFECT)
_INCLUDE = FieldRule(
    lambda v: (
        isinstance(v, list) and all(isinstance(each, str) and each in INCLUDABLE for each in v)
    ),
    f"a list of {', '.join(INCLUDABLE)}",
    {"type": "array", "items": {"type": "string", "enum": [*INCLUDABLE]}},
)
_STREAM_OPTIONS = FieldRule(
    lambda v: (
        isinstance(v, dict)
        and v.keys() <= {"include_obfuscation"}
        and isinstance(v.get("include_obfuscation"), bool | None)
    ),
    "an object with `include_obfuscation`, true or false",
    {
        "type": "object",
        "properties": {"include_obfuscation": {"type": ["boolean", "null"]}},
        "additionalProperties": False,
    },
)


_ITEMS = {"type": "array", "items": OBJECT.schema}


class Field(NamedTuple):
    rule: FieldRule
    effect: str


FIELDS: dict[str, Field] = {
    "model": Field(MODEL, "honoured"),
    "input": Field(
        checked_elsewhere("a text, or a list of items", {"anyOf": [STRING.schema, _ITEMS]}),
        "honoured: [input items](#input-items)",
    ),
    "instructions": Field(
        STRING,
        "honoured: the first system message. Those of an earlier response do not count",
    ),
    "stream": Field(BOOL, "honoured"),
    "stream_options": Field(_STREAM_OPTIONS, NO_EFFECT + "nothing is padded"),
    "max_output_tokens": Field(
        integer(1, MOST_TOKENS),
        "honoured; at or above the model's context: the rest of it",
    ),
    "temperature": Field(number(0, 2), "honoured"),
    "top_p": Field(number(0, 1), "honoured"),
    "presence_penalty": Field(number(-2, 2), "honoured (Open Responses)"),
    "frequency_penalty": Field(number(-2, 2), "honoured (Open Responses)"),
    "tools": Field(LIST, "honoured: [tools](#tools)"),
    "tool_choice": Field(
        checked_elsewhere("a string or an object", CHOICE.schema), "honoured: [tools](#tools)"
    ),
    "parallel_tool_calls": Field(BOOL, "honoured"),
    "max_tool_calls": Field(integer(1, 2**31 - 1), NO_EFFECT + "it bounds hosted tools alone"),
    "text": Field(
        OBJECT,
        "`format` (`text`, `json_object`, `json_schema`) is honoured; `verbosity` where the "
        "model's engine has it",
    ),
    "reasoning": Field(OBJECT, "honoured: [reasoning](#reasoning)"),
    "include": Field(
        _INCLUDE,
        f"`{ENCRYPTED}` and `{LOGPROBS}` are honoured",
    ),
    "top_logprobs": Field(
        integer(0, 20), f"honoured where the model tells probabilities; `include` `{LOGPROBS}`"
    ),
    "store": Field(
        BOOL,
        "honoured; `true` if it is left out: [stored responses](#stored-responses)",
    ),
    "previous_response_id": Field(STRING, "honoured: [stored responses](#stored-responses)"),
    "background": Field(BOOL, "honoured: [in the background](#in-the-background)"),
    "prompt": Field(
        OBJECT,
        "`id` of a [prompt template](../inference-api.md#prompt-templates), `version`, `variables`",
    ),
    "metadata": Field(METADATA, "in the response again"),
    "truncation": Field(
        one_of("auto", "disabled"),
        NO_EFFECT + "a prompt that is too long is a 400",
    ),
    "user": Field(STRING, "goes to engines that take a `user`, hosted ones get a pseudonym"),
    "safety_identifier": Field(string(128), NO_EFFECT + "the key says who asks"),
    "prompt_cache_key": Field(string(1024), NO_EFFECT + "engines cache prefixes by themselves"),
    "prompt_cache_retention": Field(
        one_of("in_memory", "24h"), NO_EFFECT + "engines cache prefixes by themselves"
    ),
    "prompt_cache_options": Field(OBJECT, NO_EFFECT + "engines cache prefixes by themselves"),
    "service_tier": Field(
        one_of("auto", "default", "flex", "priority", "fast"),
        NO_EFFECT + "`x-forebay-class` says who goes first",
    ),
    "context_management": Field(
        LIST, NO_EFFECT + "the whole conversation reaches the model; [compact](#compaction) it"
    ),
    "client_metadata": Field(OBJECT, NO_EFFECT + "of coding agents"),
}  # fmt: skip
REFUSED = {
    "conversation": "name the last response with `previous_response_id`",
    "moderation": "no model here moderates",
}
ALL = (*FIELDS, *REFUSED)
_OF_A_PROMPT = (
    "model",
    "input",
    "instructions",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
)
_OF_ANSWERS = ("parallel_tool_calls", "reasoning", "text", "tool_choice", "tools", "truncation")
OF_COUNTING = (*_OF_A_PROMPT, *_OF_ANSWERS)
OF_COMPACTION = _OF_A_PROMPT


def checked(body: Body, names: tuple[str, ...] = ALL) -> Body:
    """Returns the fields that are set. Raises BadRequest for an unknown or a wrong one."""
    present = {name: value for name, value in body.items() if value is not None}
    for name, value in present.items():
        if name not in names:
            raise BadRequest(f"`{name}` is not a field of this call: leave it out", param=name)
        if (field := FIELDS.get(name)) is None:
            raise BadRequest(f"`{name}` is not supported: {REFUSED[name]}", param=name)
        if not field.rule.holds(value):
            raise must_be(name, field.rule.should)
    return present


def check_keys(value: Body, where: str, *names: str) -> None:
    """Raises BadRequest for a field of an object that is none of these."""
    if unknown := value.keys() - set(names):
        name = f"{where}.{min(unknown)}"
        raise BadRequest(f"`{name}` is not a field of `{where}`", param=name)
