"""The items of an input: which there are, and what becomes of each.

`docs/write_responses.py` writes a table of docs/api/responses.md from ITEMS.
"""

from typing import Any
from uuid import uuid4

from inference.errors import must_be
from inference.validation.schemas import Body

Item = Body
MESSAGE, REFERENCE, REASONING, COMPACTION = "message", "item_reference", "reasoning", "compaction"
CALL, OUTPUT = "function_call", "function_call_output"
CUSTOM_CALL, CUSTOM_OUTPUT = "custom_tool_call", "custom_tool_call_output"
ITEMS: dict[str, str] = {
    MESSAGE: "`role` (`user`, `assistant`, `system`, `developer`), `content` (a text or "
    "[parts](#parts)); `type`, `id`, `status` and `phase` may be left out",
    CALL: "`call_id`, `name`, `arguments`; its output must follow",
    OUTPUT: "the result of the call of this `call_id`: a text, or a list of parts",
    CUSTOM_CALL: "`call_id`, `name`, `input` of a `custom` tool",
    CUSTOM_OUTPUT: "as `function_call_output`",
    REASONING: "the model gets it again while its calls go on, if its template has a place. "
    "Earlier ones, and those of other services, are left out",
    COMPACTION: "the summary of [compact](#compaction); those of other services are refused",
    REFERENCE: "the item of this `id` of a [stored response](#stored-responses)",
    "web_search_call": "left out: its results are in the text after it",
}
_PREFIXES = {
    MESSAGE: "msg",
    CALL: "fc",
    OUTPUT: "fco",
    CUSTOM_CALL: "ctc",
    CUSTOM_OUTPUT: "ctco",
    REASONING: "rs",
    COMPACTION: "cmp",
}
_TEXTS = {"assistant": "output_text"}  # the part that holds a text; of others `input_text`


def listed(value: Any) -> list[Any]:
    """Returns the input as a list of items; a text is a message of the user. Raises BadRequest."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": MESSAGE, "role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise must_be("input", "a text, or a list with at least one item")
    return value


def kind_of(item: Any, where: str) -> str:
    """Returns the type of an item. A message and a reference need not name it.

    Raises BadRequest.
    """
    if not isinstance(item, dict):
        raise must_be(where, "an object")
    kind = item.get("type")
    if kind is None and "role" in item:
        return MESSAGE
    if kind is None and "id" in item:
        return REFERENCE
    if isinstance(kind, str) and kind in ITEMS:
        return kind
    code = "unsupported_value" if isinstance(kind, str) else ""
    raise must_be(f"{where}.type", f"one of {', '.join(ITEMS)}", code=code)


def described(item: Item) -> Item:
    """Returns a checked item in full, as it is listed again: with id, status and parts."""
    kind = kind_of(item, "input")
    full = {**item, "type": kind}
    if not isinstance(item.get("id"), str) or not item["id"]:
        full["id"] = f"{_PREFIXES.get(kind, 'item')}_{uuid4().hex}"
    if kind not in (REASONING, COMPACTION) and not full.get("status"):
        full["status"] = "completed"
    if kind == MESSAGE and isinstance(content := item["content"], str):
        part = {"type": _TEXTS.get(item["role"], "input_text"), "text": content}
        full["content"] = [part | {"annotations": []} if item["role"] == "assistant" else part]
    return full
