"""The fields of each call, with their rules and effects.

`docs/write_ollama.py` writes the tables of docs/api/ollama.md from here.
"""

from typing import NamedTuple

from inference.engines.fields import (
    BOOL,
    LIST,
    OBJECT,
    STRING,
    FieldRule,
    checked_elsewhere,
    integer,
    string,
)
from inference.errors import BadRequest, must_be
from inference.validation.schemas import Body

NO_EFFECT = "checked, without effect: "
LEVELS = ("low", "medium", "high", "max")
LONGEST_DURATION = 32  # characters
_THINK = FieldRule(
    lambda v: isinstance(v, bool) or (isinstance(v, str) and v in LEVELS),
    f"true, false, or one of {', '.join(LEVELS)}",
    {"anyOf": [BOOL.schema, {"type": "string", "enum": [*LEVELS]}]},
)
_FORMAT = FieldRule(
    lambda v: isinstance(v, dict) or v in ("", "json"),
    "`json`, or an object: a JSON schema",
    {"anyOf": [OBJECT.schema, {"type": "string", "enum": ["", "json"]}]},
)
_DURATION = FieldRule(
    lambda v: (
        (isinstance(v, int | float) and not isinstance(v, bool))
        or (isinstance(v, str) and len(v) <= LONGEST_DURATION)
    ),
    "a number of seconds, or a duration such as `5m`",
    {"anyOf": [{"type": "number"}, string(LONGEST_DURATION).schema]},
)
_TEXTS = {"anyOf": [STRING.schema, {"type": "array", "items": STRING.schema}]}


class Field(NamedTuple):
    rule: FieldRule
    effect: str


_MODEL = Field(
    checked_elsewhere("a model of `GET /api/tags`", STRING.schema),
    "honoured, with or without `:latest`",
)
_KEEP_ALIVE = Field(
    _DURATION,
    NO_EFFECT + "engines stay loaded. Without a message or prompt the answer says `load`, or "
    "`unload` for 0",
)
_ANSWERS: dict[str, Field] = {
    "stream": Field(BOOL, "honoured; true without it"),
    "format": Field(_FORMAT, "honoured, if the model takes JSON schemas"),
    "think": Field(
        _THINK,
        "honoured; a level is its `reasoning_effort` (`max` is `high`); with false no thinking is "
        "sent. Without it the template decides; `raw` and `suffix` have no thinking",
    ),
    "options": Field(OBJECT, "honoured: [options](#options)"),
    "keep_alive": _KEEP_ALIVE,
    "logprobs": Field(BOOL, "honoured, if the model takes it; not with `raw` or `suffix`"),
    "top_logprobs": Field(integer(0, 20), "honoured with `logprobs`"),
    "truncate": Field(BOOL, NO_EFFECT + "nothing is cut; a prompt that does not fit is a 400"),
    "shift": Field(BOOL, NO_EFFECT + "an answer ends where the context does"),
}
CHAT: dict[str, Field] = {
    "model": _MODEL,
    "messages": Field(LIST, "honoured: [messages](#messages). Empty: see `keep_alive`"),
    "tools": Field(LIST, "honoured: functions with `name`, `description`, `parameters`"),
    **_ANSWERS,
}
GENERATE: dict[str, Field] = {
    "model": _MODEL,
    "prompt": Field(STRING, "honoured, as a message of the user. Empty: see `keep_alive`"),
    "system": Field(STRING, "honoured, as a message before it; not with `raw` or `suffix`"),
    "raw": Field(BOOL, "honoured: the model gets the prompt as it is, without its template"),
    "suffix": Field(
        STRING, "honoured, without a template, where the engine fills in the middle, else refused"
    ),
    **_ANSWERS,
}
EMBED: dict[str, Field] = {
    "model": _MODEL,
    "input": Field(checked_elsewhere("a text, or a list of texts", _TEXTS), "honoured"),
    "dimensions": Field(integer(0, 65536), "honoured, if the model takes it; 0 is none"),
    "truncate": Field(BOOL, NO_EFFECT + "a text that does not fit is a 400"),
    "options": Field(OBJECT, NO_EFFECT + "nothing is sampled"),
    "keep_alive": Field(_DURATION, NO_EFFECT + "engines stay loaded"),
}
EMBEDDINGS: dict[str, Field] = {
    "model": _MODEL,
    "prompt": Field(STRING, "of `/api/embeddings`, in place of `input`: honoured"),
    "options": EMBED["options"],
    "keep_alive": EMBED["keep_alive"],
}
SHOW: dict[str, Field] = {
    "model": _MODEL,
    "name": Field(STRING, "honoured: the older name of `model`"),
    "verbose": Field(BOOL, NO_EFFECT + "there is no more to show"),
    "system": Field(STRING, NO_EFFECT + "it is shown to nobody"),
    "template": Field(STRING, NO_EFFECT + "it is shown to nobody"),
    "options": Field(OBJECT, NO_EFFECT + "it is shown to nobody"),
}
_TEMPLATE = "the model has a template of its own: send `messages`, or a whole prompt with `raw`"
REFUSED = {
    "template": _TEMPLATE,
    "context": "send the conversation as `messages` to `/api/chat`",
    "images": "send images to `/v1/chat/completions`, as `image_url`",
    "width": "no model here makes images",
    "height": "no model here makes images",
    "steps": "no model here makes images",
    "_debug_render_only": "prompts are rendered by the engine",
}


def checked(body: Body, fields: dict[str, Field]) -> Body:
    """Returns the fields that are set. Raises BadRequest for an unknown or a wrong one."""
    present = {name: value for name, value in body.items() if value is not None}
    for name, value in present.items():
        if field := fields.get(name):
            if not field.rule.holds(value):
                raise must_be(name, field.rule.should)
        elif name not in REFUSED:
            raise BadRequest(f"`{name}` is not a field of this call: leave it out", param=name)
        elif value:
            what = f"`{name}` is not supported: {REFUSED[name]}"
            raise BadRequest(what, code="unsupported_value", param=name)
    return present
