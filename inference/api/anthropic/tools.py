"""Tools and the choice among them, in OpenAI's form.

`docs/write_messages.py` writes tables of docs/api/messages.md from TOOL_FIELDS and CHOICES.
"""

from typing import Any

from inference.errors import BadRequest, must_be
from inference.validation.schemas import Body

TOOL_FIELDS = {
    "name": "honoured",
    "description": "honoured",
    "input_schema": "honoured",
    "strict": "honoured, as for chat completions",
    "type": "`custom`, or left out. Tools that Anthropic runs or whose schema it keeps "
    "(`web_search_…`, `bash_…`, `computer_…`) are refused: give them as tools of your own",
    "cache_control": "no effect",
    "defer_loading": "no effect: the model gets all tools",
    "eager_input_streaming": "no effect: input is streamed as it is made",
    "input_examples": "no effect",
    "allowed_callers": "no effect: only the model calls",
}
CHOICES = {
    "auto": "the model decides",
    "any": "one of the tools must be called",
    "tool": "the tool `name` must be called",
    "none": "no tool is called",
}
_MODES = {"auto": "auto", "any": "required", "none": "none"}


def functions(tools: list[Any]) -> list[Body]:
    """Returns the tools as functions. Raises BadRequest."""
    return [_function(tool, f"tools[{i}]") for i, tool in enumerate(tools)]


def _function(tool: Any, where: str) -> Body:
    if not isinstance(tool, dict):
        raise must_be(where, "an object with `name` and `input_schema`")
    if (kind := tool.get("type")) not in (None, "custom"):
        what = f"`{where}.type` must be custom: nothing here runs, or knows, `{str(kind)[:120]}`"
        raise BadRequest(what, code="unsupported_value", param=f"{where}.type")
    if unknown := tool.keys() - TOOL_FIELDS.keys():
        name = min(unknown)
        raise BadRequest(f"`{where}.{name}` is not a field of a tool", param=f"{where}.{name}")
    if not isinstance(name := tool.get("name"), str) or not name:
        raise must_be(f"{where}.name", "a name")
    if not isinstance(schema := tool.get("input_schema"), dict):
        raise must_be(f"{where}.input_schema", "a JSON schema")
    function: Body = {"name": name, "parameters": schema}
    function |= {key: tool[key] for key in ("description", "strict") if tool.get(key) is not None}
    return {"type": "function", "function": function}


def choice(wish: Body) -> Body:
    """Returns the fields of a chat for a choice. Raises BadRequest."""
    kind, single = wish.get("type"), wish.get("disable_parallel_tool_use")
    if not isinstance(kind, str) or kind not in CHOICES:
        raise must_be("tool_choice.type", f"one of {', '.join(CHOICES)}")
    if not isinstance(single, bool | None):
        raise must_be("tool_choice.disable_parallel_tool_use", "true or false")
    fields: Body = {"tool_choice": _MODES.get(kind) or _named(wish)}
    return fields if single is None else fields | {"parallel_tool_calls": not single}


def _named(wish: Body) -> Body:
    if not isinstance(name := wish.get("name"), str) or not name:
        raise must_be("tool_choice.name", "the name of a tool")
    return {"type": "function", "function": {"name": name}}
