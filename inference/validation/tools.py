"""Checks of the tools that a chat may call, and of its tool choice."""

import re
from typing import Any

from inference.engines.base import Engine
from inference.errors import BadRequest, must_be
from inference.validation.schema_bounds import Body
from inference.validation.strict import check_enforced

MODES = ("none", "auto", "required")
NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


def check_tools(body: Body, engine: Engine) -> None:
    """Raises BadRequest."""
    tools = enumerate(body.get("tools") or ())
    names = [_checked(tool, f"tools[{i}]", engine) for i, tool in tools]
    if engine.most_readings is not None:
        _check_distinct(list(filter(None, names)), engine)
    if (choice := body.get("tool_choice")) is not None:
        _check_choice(choice, names, engine)


def _check_distinct(names: list[str], engine: Engine) -> None:
    """Check that the names differ: calls are alternatives of one grammar, told apart by name."""
    if len(names) > engine.most_choices:
        most = f"`tools` must have at most {engine.most_choices} functions for this model"
        raise BadRequest(most, param="tools")
    if len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"`tools` has two functions of the name {name}", param="tools")


def _checked(tool: Any, where: str, engine: Engine) -> str:
    """Returns the name of the function; "" for a tool of another type."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str):
        raise must_be(where, "an object with a `type`")
    if engine.tool_types and kind not in engine.tool_types:
        raise must_be(f"{where}.type", ", ".join(engine.tool_types), code="unsupported_value")
    if kind != "function":
        return ""
    function, where = tool.get("function"), f"{where}.function"
    if not isinstance(function, dict):
        raise must_be(where, "an object with a `name`")
    _check_function(function, where, engine)
    return str(function["name"])


def _check_function(function: Body, where: str, engine: Engine) -> None:
    name, strict = function.get("name"), function.get("strict")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        should = "a name of at most 128 letters, digits, and any of _ - . : /"
        raise must_be(f"{where}.name", should)
    if not isinstance(function.get("description", ""), str | None):
        raise must_be(f"{where}.description", "a string")
    if not isinstance(parameters := function.get("parameters"), dict | None):
        raise must_be(f"{where}.parameters", "a JSON schema")
    if not isinstance(strict, bool | None):
        raise must_be(f"{where}.strict", "true or false")
    if strict and parameters:
        check_enforced(parameters, f"{where}.parameters", engine)


# The choice --------------------------------------------------------------------------------------
def _check_choice(choice: Any, names: list[str], engine: Engine) -> None:
    if isinstance(choice, str):
        return _check_mode(choice, names)
    kind, function = choice.get("type"), choice.get("function")
    if kind != "function":
        if engine.tool_types:
            raise must_be("tool_choice.type", "function", code="unsupported_value")
        return None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or name not in names:
        listed = ", ".join(filter(None, names))[:500] or "none"
        what = f"`tool_choice.function.name` must name one of `tools`: {listed}"
        raise BadRequest(what, param="tool_choice")
    return None


def _check_mode(mode: str, names: list[str]) -> None:
    if mode not in MODES:
        raise must_be("tool_choice", f"one of {', '.join(MODES)}, or name a tool")
    if mode == "required" and not names:
        raise BadRequest("`tool_choice`: required needs `tools`", param="tool_choice")
