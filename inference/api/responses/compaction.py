"""Compaction: the model sums up a conversation, which a client then sends instead of it."""

from inference.api.responses import items, opaque, output
from inference.api.responses.content import USER
from inference.api.responses.items import Item
from inference.api.responses.output import Shape
from inference.errors import Unavailable
from inference.validation.schemas import Body

PROMPT = """\
Sum up this conversation for the assistant that will go on with it and will see nothing but your \
summary and the user's own messages. Say what the user wants, what has been decided and done, what \
was found out (names, paths, figures, results of tools), what failed, and what is to be done next. \
Write the summary alone."""


def body_of(chat: Body) -> Body:
    """Returns the chat that asks for a summary. The answer may fill the context."""
    *before, last = chat["messages"]
    if last["role"] == USER and isinstance(last["content"], str):  # roles take turns
        asking = {**last, "content": f"{last['content']}\n\n{PROMPT}"}
        return {**chat, "messages": [*before, asking]}
    return {**chat, "messages": [*before, last, {"role": USER, "content": PROMPT}]}


def compacted(response: Body, listed: list[Item], shape: Shape) -> Body:
    """Returns the user's messages and the summary. Raises Unavailable if the model wrote none."""
    if not (summary := _text_of(response["output"])):
        raise Unavailable("the model wrote no summary; try again", code="no_summary")
    identity = shape.item_id("cmp", 0)
    packed = {"id": identity, "type": items.COMPACTION, "encrypted_content": opaque.packed(summary)}
    return {
        "id": output.response_id(shape.completion),
        "object": "response.compaction",
        "created_at": shape.created_at,
        "output": [*(items.described(item) for item in listed if _is_users(item)), packed],
        "usage": response["usage"],
    }


def _is_users(item: Item) -> bool:
    return items.kind_of(item, "input") == items.MESSAGE and item.get("role") == USER


def _text_of(listed: list[Body]) -> str:
    parts = [part for item in listed if item["type"] == "message" for part in item["content"]]
    return "".join(part.get("text", "") for part in parts).strip()
