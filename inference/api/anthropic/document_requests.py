"""The schema of a request to the Messages API, from the tables that validate it."""

from inference.api.anthropic.blocks import BLOCKS
from inference.api.anthropic.conversation import ROLES
from inference.api.anthropic.fields import FIELDS
from inference.api.anthropic.requests import DISPLAYS, EFFORTS, LEAST_BUDGET, THINKING
from inference.api.anthropic.tools import CHOICES, TOOL_FIELDS
from inference.api.document.schemas import (
    BOOLEAN,
    OBJECT,
    STRING,
    Json,
    array,
    body,
    closed,
    or_null,
    shape,
    single,
)
from inference.engines.fields import Schema
from inference.validation.tools import NAME


def request(*required: str) -> Json:
    nested: dict[str, Schema] = {
        "messages": {**array({"anyOf": [_message(role) for role in ROLES]}), "minItems": 1},
        "system": {"anyOf": [STRING, array({"anyOf": _blocks("system")})]},
        "tools": array(_tool()),
        "tool_choice": _choice(),
        "thinking": _thinking(),
        "output_config": _output(),
    }
    return body(single({name: each.rule for name, each in FIELDS.items()}), required, nested)


def _message(role: str) -> Json:
    content = {"anyOf": [STRING, {**array({"anyOf": _blocks(role)}), "minItems": 1}]}
    return shape(role={"const": role}, content=content)


def _blocks(role: str) -> list[Json]:
    return [
        shape(type={"const": name}) | {"description": block.effect}
        for name, block in BLOCKS.items()
        if role in block.roles
    ]


def _tool() -> Json:
    checked: dict[str, Schema] = {
        "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
        "description": or_null(STRING),
        "input_schema": OBJECT,
        "strict": or_null(BOOLEAN),
        "type": {"enum": ["custom", None]},
    }
    fields = {
        name: {"description": effect, **checked.get(name, {})}
        for name, effect in TOOL_FIELDS.items()
    }
    return closed(("name", "input_schema"), **fields)


def _choice() -> Json:
    others: Schema = {"type": "string", "enum": [kind for kind in CHOICES if kind != "tool"]}
    single_call = {"disable_parallel_tool_use": or_null(BOOLEAN)}
    name = {"type": "string", "minLength": 1}
    named = shape(*single_call, type={"const": "tool"}, name=name, **single_call)
    return {"anyOf": [named, shape(*single_call, type=others, **single_call)]}


def _thinking() -> Json:
    others: Schema = {"type": "string", "enum": [kind for kind in THINKING if kind != "enabled"]}
    display = or_null({"type": "string", "enum": [*DISPLAYS]})
    budget = {"type": "integer", "minimum": LEAST_BUDGET}
    enabled = shape("display", type={"const": "enabled"}, budget_tokens=budget, display=display)
    return {"anyOf": [enabled, shape("display", type=others, display=display)]}


def _output() -> Json:
    form = shape(type={"const": "json_schema"}, schema=OBJECT)
    effort: Schema = {"type": "string", "enum": [*EFFORTS]}
    return closed(effort=or_null(effort), format=or_null(form))
