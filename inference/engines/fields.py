"""The fields of a request that reach an engine, each with its rule.

All others are dropped: an engine takes fields that would bypass limits, fair shares or the
isolation of tenants, and each of its releases takes more. `docs/write_parameters.py` writes
docs/parameters.md from here.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from inference.order import EMBED, RERANK

Schema = Mapping[str, Any]
ANY: Schema = {}


class FieldRule(NamedTuple):
    """A rule. `schema` says the same in JSON Schema, for the OpenAPI document alone."""

    holds: Callable[[Any], bool]
    should: str
    schema: Schema = ANY


Fields = dict[str, FieldRule]


def number(low: float, high: float) -> FieldRule:
    return FieldRule(
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high,
        f"a number from {low:g} to {high:g}",
        {"type": "number", "minimum": low, "maximum": high},
    )


def integer(low: int, high: int) -> FieldRule:
    return FieldRule(
        lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
        f"a whole number from {low} to {high}",
        {"type": "integer", "minimum": low, "maximum": high},
    )


_TEXT: Schema = {"type": "string", "minLength": 1}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def strings(most: int) -> FieldRule:
    """Forbids empty strings: one would end every answer before it begins, or be ignored."""
    return FieldRule(
        lambda v: _is_text(v) or (isinstance(v, list) and len(v) <= most and all(map(_is_text, v))),
        f"a string or a list of at most {most} strings, none of them empty",
        {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "maxItems": most}]},
    )


def string(most: int) -> FieldRule:
    return FieldRule(
        lambda v: isinstance(v, str) and len(v) <= most,
        f"a string of at most {most} characters",
        {"type": "string", "maxLength": most},
    )


def one_of(*values: str) -> FieldRule:
    return FieldRule(
        lambda v: isinstance(v, str) and v in values,
        f"one of {', '.join(values)}",
        {"type": "string", "enum": [*values]},
    )


def only(value: str | bool, should: str) -> FieldRule:
    """Accepts only the default, for a field that an engine would ignore."""
    return FieldRule(lambda v: type(v) is type(value) and v == value, should, {"const": value})


_TOKEN_NUMBER = integer(0, 2**31 - 1)


def tokens(most: int) -> FieldRule:
    return FieldRule(
        lambda v: isinstance(v, list) and len(v) <= most and all(map(_TOKEN_NUMBER.holds, v)),
        f"a list of at most {most} tokens",
        {"type": "array", "items": _TOKEN_NUMBER.schema, "maxItems": most},
    )


def optional(rule: FieldRule) -> FieldRule:
    """Returns a rule that accepts null too."""
    schema = {"anyOf": [rule.schema, {"type": "null"}]}
    return FieldRule(lambda v: v is None or rule.holds(v), rule.should, schema)


def checked_elsewhere(should: str, schema: Schema = ANY) -> FieldRule:
    """Accepts anything: `validation/` has a check for the field."""
    return FieldRule(lambda v: True, should, schema)


BOOL = FieldRule(lambda v: isinstance(v, bool), "true or false", {"type": "boolean"})
OBJECT = FieldRule(lambda v: isinstance(v, dict), "an object", {"type": "object"})
LIST = FieldRule(lambda v: isinstance(v, list), "a list", {"type": "array", "items": {}})
STRING = FieldRule(lambda v: isinstance(v, str), "a string", {"type": "string"})
CHOICE = FieldRule(
    lambda v: isinstance(v, str | dict),
    "a string or an object",
    {"anyOf": [STRING.schema, OBJECT.schema]},
)
MOST_N, MOST_CHOICES = 8, 64  # answers to one prompt, and to all prompts of a request
A_FEW = FieldRule(
    lambda v: isinstance(v, int | float) and not isinstance(v, bool) and v in range(1, MOST_N + 1),
    f"a whole number from 1 to {MOST_N}",
    {"type": "integer", "minimum": 1, "maximum": MOST_N},
)
_BIAS = number(-100, 100)
_TOKEN = re.compile("[0-9]{1,9}")
_OUTLINES = ("json", "choice", "json_object")


def _only_field(name: str, schema: Schema) -> Schema:
    fields = {name: schema}
    closed = {"properties": fields, "required": [name], "additionalProperties": False}
    return {"type": "object", **closed}


# vLLM's; its expressions and grammars stay outside, as `guided_regex` and `guided_grammar` do.
STRUCTURED = FieldRule(
    lambda v: (
        isinstance(v, dict)
        and len(v) == 1
        and v.keys() <= set(_OUTLINES)
        and (
            isinstance(v.get("json"), dict)
            or v.get("json_object") is True
            or (isinstance(v.get("choice"), list) and all(isinstance(c, str) for c in v["choice"]))
        )
    ),
    "an object with one of json (a schema), choice (a list of strings), json_object (true)",
    {
        "anyOf": [
            _only_field("json", OBJECT.schema),
            _only_field("choice", {"type": "array", "items": STRING.schema}),
            _only_field("json_object", {"const": True}),
        ]
    },
)
BIAS = FieldRule(
    lambda v: (
        isinstance(v, dict)
        and len(v) <= 1024
        and all(map(_TOKEN.fullmatch, v))
        and all(map(_BIAS.holds, v.values()))
    ),
    f"an object of at most 1024 numbers of tokens, each with {_BIAS.should}",
    {
        "type": "object",
        "maxProperties": 1024,
        "propertyNames": {"pattern": f"^{_TOKEN.pattern}$"},
        "additionalProperties": _BIAS.schema,
    },
)
_FORMATS = one_of("text", "json_object", "json_schema")
FORMAT = FieldRule(
    lambda v: isinstance(v, dict) and _FORMATS.holds(v.get("type")),
    f"an object whose `type` is {_FORMATS.should}",
    {"type": "object", "required": ["type"], "properties": {"type": _FORMATS.schema}},
)
_STREAM_OPTIONS = ("include_usage", "include_obfuscation")
STREAM_OPTIONS = FieldRule(
    lambda v: (
        isinstance(v, dict)
        and v.keys() <= set(_STREAM_OPTIONS)
        and all(option is None or isinstance(option, bool) for option in v.values())
    ),
    f"an object with {' and '.join(_STREAM_OPTIONS)}, each true or false",
    {
        "type": "object",
        "properties": {name: {"type": ["boolean", "null"]} for name in _STREAM_OPTIONS},
        "additionalProperties": False,
    },
)
LONGEST_KEY, LONGEST_VALUE, MOST_PAIRS = 64, 512, 16
METADATA = FieldRule(
    lambda v: (
        isinstance(v, dict)
        and len(v) <= MOST_PAIRS
        and all(len(key) <= LONGEST_KEY for key in v)
        and all(isinstance(text, str) and len(text) <= LONGEST_VALUE for text in v.values())
    ),
    f"an object of at most {MOST_PAIRS} strings of at most {LONGEST_VALUE} characters, "
    f"with keys of at most {LONGEST_KEY}",
    {
        "type": "object",
        "maxProperties": MOST_PAIRS,
        "propertyNames": {"maxLength": LONGEST_KEY},
        "additionalProperties": {"type": "string", "maxLength": LONGEST_VALUE},
    },
)
# Arguments of a chat template. Some servers would even take a whole template from here.
_TEMPLATE_ARGUMENTS = (
    "clear_thinking",
    "enable_thinking",
    "preserve_thinking",
    "reasoning_effort",
    "thinking",
    "thinking_budget",
)
TEMPLATE = FieldRule(
    lambda v: (
        isinstance(v, dict)
        and v.keys() <= set(_TEMPLATE_ARGUMENTS)
        and all(isinstance(value, bool | int | float | str) for value in v.values())
    ),
    f"an object with {', '.join(_TEMPLATE_ARGUMENTS)}",
    {
        "type": "object",
        "properties": {
            name: {"type": ["boolean", "number", "string"]} for name in _TEMPLATE_ARGUMENTS
        },
        "additionalProperties": False,
    },
)


def _at_most(most: int, items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


MODEL = checked_elsewhere("a model of `GET /v1/models`", _TEXT)
MESSAGES = checked_elsewhere("a list of messages", {"type": "array", "items": {}, "minItems": 1})
_LIMIT: Schema = {"type": "integer", "minimum": 1}
_TOKENS: Schema = {"type": "array", "items": _TOKEN_NUMBER.schema, "minItems": 1}
_INPUT: Schema = {"anyOf": [_TEXT, _TOKENS]}
COMMON: Fields = {
    "model": MODEL,
    "max_tokens": checked_elsewhere("a whole number from 1 to the model's context length", _LIMIT),
    "max_completion_tokens": checked_elsewhere("as `max_tokens`, before which it goes", _LIMIT),
    "stream": BOOL,
    "stream_options": STREAM_OPTIONS,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "frequency_penalty": number(-2, 2),
    "presence_penalty": number(-2, 2),
    "seed": integer(-(2**63), 2**63 - 1),
    "stop": strings(16),
    "n": A_FEW,
    "user": STRING,
    "logit_bias": BIAS,
}
CHAT: Fields = {
    **COMMON,
    "messages": MESSAGES,
    "logprobs": BOOL,
    "top_logprobs": integer(0, 20),
    "tools": LIST,
    "tool_choice": CHOICE,
    "parallel_tool_calls": BOOL,
    "response_format": FORMAT,
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "thinking": OBJECT,
    "chat_template_kwargs": TEMPLATE,
}
TEXT: Fields = {
    **COMMON,
    "prompt": checked_elsewhere(
        "a text, a list of tokens, or a list of these; at most "
        f"{MOST_CHOICES} answers, `n` of each",
        {"anyOf": [_TEXT, _TOKENS, _at_most(MOST_CHOICES, _INPUT)]},
    ),
    "suffix": STRING,
    "logprobs": integer(0, 20),
    "echo": BOOL,
}

# Texts into vectors, and documents by their relevance (inference/validation/vectors.py).
MOST_INPUTS, MOST_DOCUMENTS, MOST_DIMENSIONS = 2048, 1000, 65536
EMBEDDINGS: Fields = {
    "model": COMMON["model"],
    "input": checked_elsewhere(
        f"a text, a list of tokens, or a list of at most {MOST_INPUTS} of one of these",
        {"anyOf": [_TEXT, _TOKENS, *(_at_most(MOST_INPUTS, each) for each in (_TEXT, _TOKENS))]},
    ),
    "encoding_format": one_of("float", "base64"),
    "dimensions": integer(1, MOST_DIMENSIONS),
    "user": STRING,
}
_DOCUMENT: Schema = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": _TEXT},
    "additionalProperties": False,
}
RERANKING: Fields = {
    "model": COMMON["model"],
    "query": checked_elsewhere("a text", _TEXT),
    "documents": checked_elsewhere(
        f"a list of at most {MOST_DOCUMENTS} texts, each a string or an object with `text`",
        _at_most(MOST_DOCUMENTS, {"anyOf": [_TEXT, _DOCUMENT]}),
    ),
    "top_n": integer(1, 2**31 - 1),
    "return_documents": BOOL,
    "user": STRING,
}
OF_TASK: dict[str, Fields] = {EMBED: EMBEDDINGS, RERANK: RERANKING}
# The tokens of a text or a chat, and the text of tokens (inference/api/openai/tokenizing.py).
TOKENIZING: Fields = {
    "model": COMMON["model"],
    "prompt": checked_elsewhere("a text; or `messages`", _TEXT),
    "messages": checked_elsewhere("a list of messages; or `prompt`", MESSAGES.schema),
    "tools": LIST,
    "chat_template_kwargs": TEMPLATE,
    "add_special_tokens": BOOL,
    "add_generation_prompt": only(True, "true"),
    "continue_final_message": only(False, "false"),
    "return_token_strs": only(False, "false"),
}
DETOKENIZING: Fields = {
    "model": COMMON["model"],
    "tokens": checked_elsewhere("a list of tokens, at most the model's context length", _TOKENS),
}
_TIERS = FieldRule(
    lambda v: v in ("auto", "default"),
    "auto or default: who goes first is said by the header `x-forebay-class`",
    {"enum": ["auto", "default"]},
)
# Hints and OpenAI's defaults: checked, and not passed on.
HINTS: Fields = {
    "best_of": checked_elsewhere(
        "the same as `n`: you get every answer that is made", A_FEW.schema
    ),
    "metadata": METADATA,
    "modalities": FieldRule(
        lambda v: v == ["text"],
        '["text"]',
        {"type": "array", "items": {"const": "text"}, "minItems": 1, "maxItems": 1},
    ),
    "prompt_cache_key": string(1024),
    "prompt_cache_retention": only("in_memory", "in_memory: nothing is cached for longer here"),
    "safety_identifier": string(128),
    "service_tier": _TIERS,
    "store": only(False, "false: no answer is stored to be fetched again"),
    "verbosity": only("medium", "medium: this model knows no other"),
}
# Further fields of OpenAI's own service. Other engines would ignore them.
SERVICE: Fields = {
    "moderation": OBJECT,
    "prediction": OBJECT,
    "prompt_cache_key": string(1024),
    "prompt_cache_options": OBJECT,
    "prompt_cache_retention": one_of("in_memory", "24h"),
    "safety_identifier": string(128),
    "verbosity": one_of("low", "medium", "high"),
}
