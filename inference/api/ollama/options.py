"""The `options` of a call: what each is here.

`docs/write_ollama.py` writes a table of docs/api/ollama.md from OPTIONS.
"""

from typing import Any, NamedTuple

from inference.api.ollama.fields import NO_EFFECT
from inference.engines.base import Engine
from inference.engines.fields import BOOL, FieldRule, checked_elsewhere, integer, number
from inference.errors import BadRequest, must_be
from inference.validation.schemas import Body

MOST_TOKENS = 1_000_000  # that a client may ask for; no model here answers so long
_NO_LIMIT = (-1, -2)
_STOP = FieldRule(
    lambda v: (
        (isinstance(v, str) and v != "")
        or (isinstance(v, list) and len(v) <= 16 and all(isinstance(s, str) and s for s in v))
    ),
    "a string or a list of at most 16 strings, none of them empty",
)
_TOKENS = FieldRule(
    lambda v: type(v) is int and (v in _NO_LIMIT or 1 <= v <= MOST_TOKENS),
    f"-1, -2, or a whole number from 1 to {MOST_TOKENS}",
)
_WHERE_TAKEN = "where the engine has it; else only {} is taken"
_OPERATORS = NO_EFFECT + "the operator sets up the engine"
_DROPPED = NO_EFFECT + "as in newer versions of Ollama"


class Option(NamedTuple):
    """An option. `names` are those of engines that have it; `neutral` does nothing anywhere."""

    rule: FieldRule
    effect: str
    names: tuple[str, ...] = ()
    neutral: Any = None


def _of_engines(rule: FieldRule, neutral: float, *names: str) -> Option:
    return Option(rule, _WHERE_TAKEN.format(neutral), names, neutral)


_INTEGER, _NUMBER = integer(-(2**63), 2**63 - 1), number(-1e9, 1e9)
_BESIDE = "where the engine has it"
OPTIONS: dict[str, Option] = {
    "num_predict": Option(
        _TOKENS,
        "honoured. -1, -2 and the model's context or more: until the model or its context ends",
    ),
    "temperature": Option(number(0, 2), "honoured"),
    "top_p": Option(number(0, 1), "honoured"),
    "top_k": _of_engines(integer(-1, 2**31 - 1), 0, "top_k"),
    "min_p": _of_engines(number(0, 1), 0, "min_p"),
    "typical_p": _of_engines(number(0, 1), 1, "typical_p"),
    "repeat_penalty": _of_engines(number(0, 10), 1, "repeat_penalty", "repetition_penalty"),
    "repeat_last_n": Option(integer(-1, 4096), _BESIDE, ("repeat_last_n",)),
    "mirostat": _of_engines(integer(0, 2), 0, "mirostat"),
    "mirostat_tau": Option(number(0, 100), _BESIDE, ("mirostat_tau",)),
    "mirostat_eta": Option(number(0, 1), _BESIDE, ("mirostat_eta",)),
    "presence_penalty": Option(number(-2, 2), "honoured"),
    "frequency_penalty": Option(number(-2, 2), "honoured"),
    "seed": Option(_INTEGER, "honoured; below 0 it is another one each time"),
    "stop": Option(_STOP, "honoured"),
    "num_ctx": Option(
        integer(0, 2**31 - 1),
        NO_EFFECT + "the context is the model's own, which `/api/show` tells",
    ),
    "num_keep": Option(_INTEGER, NO_EFFECT + "nothing is cut"),
    **{
        name: Option(_INTEGER, _OPERATORS)
        for name in ("num_batch", "num_gpu", "main_gpu", "num_thread", "num_gqa")
    },
    **{
        name: Option(BOOL, _OPERATORS)
        for name in ("numa", "low_vram", "f16_kv", "use_mmap", "use_mlock")
    },
    **{
        name: Option(BOOL, _OPERATORS) for name in ("logits_all", "vocab_only", "embedding_only")
    },
    "draft_num_predict": Option(_INTEGER, _OPERATORS),
    "tfs_z": Option(_NUMBER, _DROPPED),
    "penalize_newline": Option(checked_elsewhere("true or false"), _DROPPED),
}  # fmt: skip
_SAME = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "stop")


def sampling(options: Body, engine: Engine, *, chat: bool) -> Body:
    """Returns the fields of a completion for the options. Raises BadRequest."""
    present = _checked(options)
    body = {name: present[name] for name in _SAME if name in present}
    for name, value in present.items():
        if OPTIONS[name].names:
            body |= _for_engine(name, value, engine, chat=chat)
    if 0 < present.get("num_predict", 0) < engine.context_length:
        body["max_tokens"] = present["num_predict"]
    if present.get("seed", -1) >= 0:
        body["seed"] = present["seed"]
    return body


def _checked(options: Body) -> Body:
    """Returns the options that are set. Raises BadRequest for an unknown or a wrong one."""
    present = {name: value for name, value in options.items() if value is not None}
    if present.get("stop") == []:
        del present["stop"]
    for name, value in present.items():
        if name not in OPTIONS:
            what = f"`options.{name[:120]}` is not an option of this call: leave it out"
            raise BadRequest(what, param=f"options.{name}")
        if not OPTIONS[name].rule.holds(value):
            raise must_be(f"options.{name}", OPTIONS[name].rule.should)
    return present


def _for_engine(name: str, value: Any, engine: Engine, *, chat: bool) -> Body:
    """Returns the option in the engine's own name. Raises BadRequest where it has none."""
    option, fields = OPTIONS[name], engine.fields(chat=chat)
    if own := next((own for own in option.names if own in fields), None):
        return {own: value}
    if option.neutral is not None and value != option.neutral:
        model = engine.config.name
        what = f"the model `{model}` does not take `options.{name}`: leave it out"
        raise BadRequest(what, code="unsupported_value", param=f"options.{name}")
    return {}
