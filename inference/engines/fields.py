"""The fields of a request that reach an engine, each with what it may hold.

All others stay outside: an engine takes much from anybody that would pass by limits, fair shares
or the walls between tenants, and each of its releases takes more.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Rule(NamedTuple):
    holds: Callable[[Any], bool]
    should: str


Fields = dict[str, Rule]


def number(low: float, high: float) -> Rule:
    return Rule(
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high,
        f"a number from {low:g} to {high:g}",
    )


def integer(low: int, high: int) -> Rule:
    return Rule(
        lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
        f"a whole number from {low} to {high}",
    )


def strings(most: int) -> Rule:
    return Rule(
        lambda v: (
            isinstance(v, str)
            or (isinstance(v, list) and len(v) <= most and all(isinstance(s, str) for s in v))
        ),
        f"a string or a list of at most {most} strings",
    )


def one_of(*values: str) -> Rule:
    return Rule(lambda v: isinstance(v, str) and v in values, f"one of {', '.join(values)}")


def only(value: str | bool, should: str) -> Rule:
    """For what an engine would ignore: its default is taken, all else is refused."""
    return Rule(lambda v: type(v) is type(value) and v == value, should)


def tokens(most: int) -> Rule:
    a_token = integer(0, 2**31 - 1)
    return Rule(
        lambda v: isinstance(v, list) and len(v) <= most and all(map(a_token.holds, v)),
        f"a list of at most {most} tokens",
    )


ANY = Rule(lambda v: True, "anything")
BOOL = Rule(lambda v: isinstance(v, bool), "true or false")
OBJECT = Rule(lambda v: isinstance(v, dict), "an object")
LIST = Rule(lambda v: isinstance(v, list), "a list")
STRING = Rule(lambda v: isinstance(v, str), "a string")
CHOICE = Rule(lambda v: isinstance(v, str | dict), "a string or an object")
ONE = Rule(lambda v: v == 1 and not isinstance(v, bool), "1: ask several times instead")
_BIAS = number(-100, 100)
_OUTLINES = ("json", "choice", "json_object")
# vLLM's; its expressions and grammars stay outside, as `guided_regex` and `guided_grammar` do.
STRUCTURED = Rule(
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
)
BIAS = Rule(
    lambda v: isinstance(v, dict) and len(v) <= 1024 and all(map(_BIAS.holds, v.values())),
    f"an object of at most 1024 tokens, each with {_BIAS.should}",
)
_FORMATS = one_of("text", "json_object", "json_schema")
FORMAT = Rule(
    lambda v: isinstance(v, dict) and _FORMATS.holds(v.get("type")),
    f"an object whose `type` is {_FORMATS.should}",
)
# What a chat template may be told. Servers have taken a whole template from here.
_TOLD = (
    "clear_thinking",
    "enable_thinking",
    "preserve_thinking",
    "reasoning_effort",
    "thinking",
    "thinking_budget",
)
TEMPLATE = Rule(
    lambda v: (
        isinstance(v, dict)
        and v.keys() <= set(_TOLD)
        and all(isinstance(told, bool | int | float | str) for told in v.values())
    ),
    f"an object with {', '.join(_TOLD)}",
)

COMMON: Fields = {
    "model": ANY,  # each with a check of its own (validation/)
    "max_tokens": ANY,
    "max_completion_tokens": ANY,
    "stream": BOOL,
    "stream_options": OBJECT,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "frequency_penalty": number(-2, 2),
    "presence_penalty": number(-2, 2),
    "seed": integer(-(2**63), 2**63 - 1),
    "stop": strings(16),
    "n": ONE,
    "user": STRING,
    "logit_bias": BIAS,
}
CHAT: Fields = {
    **COMMON,
    "messages": ANY,
    "logprobs": BOOL,
    "top_logprobs": integer(0, 20),
    "tools": LIST,
    "tool_choice": CHOICE,
    "parallel_tool_calls": BOOL,
    "response_format": FORMAT,
    "reasoning_effort": STRING,
    "thinking": OBJECT,
    "chat_template_kwargs": TEMPLATE,
}
TEXT: Fields = {
    **COMMON,
    "prompt": ANY,
    "suffix": STRING,
    "logprobs": integer(0, 20),
    "echo": BOOL,
}
# OpenAI's own, which its SDKs send to anybody: taken, and not passed on.
IGNORED: Fields = {
    "best_of": ONE,
    "metadata": ANY,
    "modalities": Rule(lambda v: v == ["text"], '["text"]'),
    "moderation": ANY,
    "prediction": ANY,
    "prompt_cache_key": ANY,
    "prompt_cache_options": ANY,
    "prompt_cache_retention": ANY,
    "safety_identifier": ANY,
    "service_tier": ANY,
    "store": ANY,
    "verbosity": ANY,
}
