"""Tools and the choice among them, in the form of chat completions.

A `custom` tool takes a text and no JSON: the model gets it as a function with one text, `input`.
`docs/write_responses.py` writes tables of docs/api/responses.md from here.
"""

from typing import Any

import orjson

from inference.errors import BadRequest, must_be
from inference.validation.schemas import Body

FUNCTION, CUSTOM = "function", "custom"
INPUT = "input"  # the argument of a custom tool's function
TOOLS = {
    FUNCTION: "honoured",
    CUSTOM: "honoured: the model gets a function with one text, `input`; a grammar in `format` is "
    "told to it, not enforced",
    "web_search": "left out: nothing here searches. `web_search_preview` too",
}
REFUSED_TOOLS = {
    "apply_patch": "give it as a function or a custom tool",
    "code_interpreter": "nothing here runs code",
    "computer": "nothing here runs a computer: give it as a function",
    "computer_use_preview": "nothing here runs a computer: give it as a function",
    "file_search": "nothing here searches files: give it as a function",
    "image_generation": "no model here makes images",
    "local_shell": "give it as a function",
    "mcp": "nothing here connects to MCP servers: give their tools as functions",
    "namespace": "give its functions as tools",
    "programmatic_tool_calling": "nothing here runs code",
    "shell": "give it as a function",
    "tool_search": "the model gets all tools",
}
FIELDS_OF_TOOLS = {
    "name": "honoured",
    "description": "honoured",
    "parameters": "honoured (`function`)",
    "strict": "honoured (`function`), as for chat completions; without it nothing is enforced",
    "format": "honoured (`custom`): `text` or `grammar`",
    "defer_loading": "no effect: the model gets all tools",
    "allowed_callers": "no effect: only the model calls",
    "output_schema": "no effect",
    "async": "no effect",
}
CHOICES = {
    "auto": "the model decides",
    "none": "no tool is called",
    "required": "one of the tools must be called",
    FUNCTION: "the function `name` must be called",
    CUSTOM: "the custom tool `name` must be called",
    "allowed_tools": "only `tools` may be called, in the `mode` `auto` or `required`",
}
_MODES = ("auto", "none", "required")
_LEFT_OUT = "web_search"
_ONE_TEXT = {
    "type": "object",
    "properties": {INPUT: {"type": "string"}},
    "required": [INPUT],
    "additionalProperties": False,
}
KindsAndNames = dict[tuple[str, str], None]  # of tools, in their order
_FUNCTION_FIELDS = frozenset(FIELDS_OF_TOOLS) - {"format"}
_CUSTOM_FIELDS = frozenset(FIELDS_OF_TOOLS) - {"parameters", "strict", "output_schema"}


def taken(tools: list[Any]) -> list[Body]:
    """Returns the tools that the model gets, in the form of a response. Raises BadRequest."""
    listed = [_taken(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
    return [tool for tool in listed if tool]


def _taken(tool: Any, where: str) -> Body | None:
    if not isinstance(tool, dict) or not isinstance(kind := tool.get("type"), str):
        raise must_be(where, "an object with a `type`")
    if kind.startswith(_LEFT_OUT):
        return None
    if kind not in (FUNCTION, CUSTOM):
        reason = REFUSED_TOOLS.get(kind, "only `function` and `custom` are tools here")
        what = f"`{where}.type` {kind[:120]} is not supported: {reason}"
        raise BadRequest(what, code="unsupported_value", param=f"{where}.type")
    known = _FUNCTION_FIELDS if kind == FUNCTION else _CUSTOM_FIELDS
    if unknown := tool.keys() - known - {"type"}:
        field = f"{where}.{min(unknown)}"
        raise BadRequest(f"`{field}` is not a field of a {kind} tool", param=field)
    if not isinstance(name := tool.get("name"), str) or not name:
        raise must_be(f"{where}.name", "a name")
    if not isinstance(description := tool.get("description"), str | None):
        raise must_be(f"{where}.description", "a string")
    head = {"type": kind, "name": name, "description": description}
    return head | (_parameters(tool, where) if kind == FUNCTION else _format(tool, where))


def _parameters(tool: Body, where: str) -> Body:
    if not isinstance(parameters := tool.get("parameters"), dict | None):
        raise must_be(f"{where}.parameters", "a JSON schema")
    if not isinstance(strict := tool.get("strict"), bool | None):
        raise must_be(f"{where}.strict", "true or false")
    return {"parameters": parameters, "strict": strict}


def _format(tool: Body, where: str) -> Body:
    form = {"type": "text"} if tool.get("format") is None else tool["format"]
    kind = form.get("type") if isinstance(form, dict) else None
    texts = () if kind == "text" else ("syntax", "definition")
    if kind not in ("text", "grammar") or not all(isinstance(form.get(t), str) for t in texts):
        should = "an object whose `type` is text, or grammar with `syntax` and `definition`"
        raise must_be(f"{where}.format", should)
    return {"format": form}


def custom_names(tools: list[Body]) -> frozenset[str]:
    return frozenset(tool["name"] for tool in tools if tool["type"] == CUSTOM)


def input_of(arguments: str) -> str:
    """Returns the text in the arguments of a custom tool's function."""
    try:
        text = orjson.loads(arguments)[INPUT]
    except (ValueError, LookupError, TypeError):
        return arguments
    return text if isinstance(text, str) else arguments


# For the chat -------------------------------------------------------------------------------------
def functions(tools: list[Body]) -> list[Body]:
    return [{"type": "function", "function": _function(tool)} for tool in tools]


def _function(tool: Body) -> Body:
    own: Body = {"name": tool["name"]}
    if tool["type"] == CUSTOM:
        own |= {"description": _description(tool), "parameters": _ONE_TEXT}
    else:
        names = ("description", "parameters", "strict")
        own |= {name: tool[name] for name in names if tool[name] is not None}
    return own


def _description(tool: Body) -> str:
    """Returns the description of a custom tool with its grammar."""
    description, form = tool["description"] or "", tool["format"]
    if form["type"] == "text":
        return str(description)
    grammar = f"`{INPUT}` must match this {form['syntax']} grammar:\n{form['definition']}"
    return f"{description}\n\n{grammar}".strip()


def chosen(wish: Any, tools: list[Body]) -> Body:
    """Returns tools and choice as fields of a chat; none without tools. Raises BadRequest."""
    choice: Any = wish
    if isinstance(wish, str) or wish is None:
        if wish not in (*_MODES, None):
            raise must_be("tool_choice", f"one of {', '.join(_MODES)}, or name a tool")
    elif isinstance(wish, dict) and wish.get("type") == "allowed_tools":
        tools, choice = _allowed(wish, tools), wish.get("mode", "auto")
    else:
        choice = _named(wish, _kinds_and_names(tools), "tool_choice")
    if choice == "required" and not tools:
        raise BadRequest("`tool_choice`: required needs `tools`", param="tool_choice")
    if not tools:
        return {}
    fields: Body = {"tools": functions(tools)}
    return fields if choice is None else fields | {"tool_choice": choice}


def _allowed(wish: Body, tools: list[Body]) -> list[Body]:
    listed, mode = wish.get("tools"), wish.get("mode", "auto")
    if not isinstance(mode, str) or mode not in _MODES:
        raise must_be("tool_choice.mode", f"one of {', '.join(_MODES)}")
    if not isinstance(listed, list) or not listed:
        raise must_be("tool_choice.tools", "a list of tools")
    own = _kinds_and_names(tools)
    places = [(each, f"tool_choice.tools[{i}]") for i, each in enumerate(listed)]
    names = {_named(each, own, at)["function"]["name"] for each, at in places}
    return [tool for tool in tools if tool["name"] in names]


def _kinds_and_names(tools: list[Body]) -> KindsAndNames:
    return dict.fromkeys((tool["type"], tool["name"]) for tool in tools)


def _named(wish: Any, own: KindsAndNames, where: str) -> Body:
    kind = wish.get("type") if isinstance(wish, dict) else None
    if not isinstance(kind, str) or kind not in (FUNCTION, CUSTOM):
        raise must_be(f"{where}.type", f"one of {', '.join(list(CHOICES)[3:])}")
    name = wish.get("name")
    if not isinstance(name, str) or (kind, name) not in own:
        listed = ", ".join(name for _, name in own)[:500] or "none"
        raise BadRequest(f"`{where}.name` must name one of `tools`: {listed}", param=where)
    return {"type": "function", "function": {"name": name}}
