"""Content blocks: which there are, and what becomes of each.

`docs/write_messages.py` writes a table of docs/api/messages.md from BLOCKS.
"""

from typing import Any, NamedTuple

from inference.engines.base import Engine
from inference.errors import BadRequest, must_be
from inference.validation.messages import unsupported
from inference.validation.schemas import Body

USER, ASSISTANT = "user", "assistant"
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_NOTHING_IS_FETCHED = "nothing is fetched for you: send the data in base64"


class Block(NamedTuple):
    """A type of block. `roles` are those of the messages that may hold it."""

    roles: tuple[str, ...]
    effect: str


BLOCKS: dict[str, Block] = {
    "text": Block((USER, ASSISTANT, "system"), "the text; `cache_control`, `citations`: no effect"),
    "image": Block(
        (USER,), "`base64` sources (JPEG, PNG, GIF, WebP), if the model sees images; others refused"
    ),
    "document": Block(
        (USER,), "sources `text` and `content` as text behind `title` and `context`; `base64` "
        "(PDF) if the model reads files; others refused"
    ),
    "search_result": Block((USER,), "title, source and texts"),
    "tool_use": Block((ASSISTANT,), "a call; its `id` differs from others of the message"),
    "tool_result": Block(
        (USER,), "the result of a call of the message before. Its images follow it in a message of "
        "the user; with `is_error` the text begins with `Error: `"
    ),
    "thinking": Block(
        (ASSISTANT,), "the model gets it again while its calls go on, if its template has a place; "
        "earlier ones are left out. `signature` is not checked"
    ),
    "redacted_thinking": Block((ASSISTANT,), "left out: no model here can read it"),
}  # fmt: skip


def kind_of(block: Any, where: str, role: str) -> str:
    """Returns the type of a block that a message of this role may hold. Raises BadRequest."""
    kind = block.get("type") if isinstance(block, dict) else None
    if isinstance(kind, str) and kind in BLOCKS and role in BLOCKS[kind].roles:
        return kind
    names = ", ".join(name for name, each in BLOCKS.items() if role in each.roles)
    raise must_be(where, f"a block whose `type` is one of {names}", code=_code(kind))


def _code(kind: Any) -> str:
    """Returns the code for another type; one that exists elsewhere may be asked for rightly."""
    return "unsupported_value" if isinstance(kind, str) and kind not in BLOCKS else ""


def text_of(block: Body, where: str, name: str = "text") -> str:
    if not isinstance(text := block.get(name), str):
        raise must_be(f"{where}.{name}", "a string")
    return text


def _source(block: Body, where: str) -> Body:
    source = block.get("source")
    if not isinstance(source, dict) or not isinstance(source.get("type"), str):
        raise must_be(f"{where}.source", "an object with a `type`")
    return source


def _data_url(source: Body, where: str, *types: str) -> str:
    """Returns the `data:` URL of a base64 source. Raises BadRequest."""
    if source["type"] != "base64":
        what = f"`{where}.source.type` must be base64: {_NOTHING_IS_FETCHED}"
        raise BadRequest(what, code="address_not_fetched", param=f"{where}.source")
    if (media := source.get("media_type")) not in types:
        raise must_be(f"{where}.source.media_type", f"one of {', '.join(types)}")
    return f"data:{media};base64,{text_of(source, f'{where}.source', 'data')}"


def image(block: Body, where: str, engine: Engine) -> Body:
    """Returns the part of a message for an image. Raises BadRequest."""
    if not engine.capabilities.images or "image_url" not in engine.parts:
        raise unsupported(engine, "images", where)
    return {
        "type": "image_url",
        "image_url": {"url": _data_url(_source(block, where), where, *_IMAGES)},
    }


def document(block: Body, where: str, engine: Engine) -> Body:
    """Returns the part of a message for a document: its text, or the file."""
    source = _source(block, where)
    if source["type"] in ("text", "content"):
        name = "data" if source["type"] == "text" else "content"
        text = texts(source.get(name), f"{where}.source.{name}")
        head = [text_of(block, where, name) for name in ("title", "context") if block.get(name)]
        return {"type": "text", "text": "\n".join([*head, text])}
    if not engine.capabilities.files or "file" not in engine.parts:
        raise unsupported(engine, "files", where)
    data = _data_url(source, where, "application/pdf")
    name = text_of(block, where, "title") if block.get("title") else "document.pdf"
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def search_result(block: Body, where: str) -> Body:
    head = [text_of(block, where, "title"), text_of(block, where, "source")]
    return {"type": "text", "text": "\n".join([*head, texts(block.get("content"), where)])}


def texts(content: Any, where: str, role: str = "system") -> str:
    """Returns a text, or the texts of a list of blocks. Raises BadRequest."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise must_be(where, "a string or a list of text blocks")
    for i, block in enumerate(content):
        kind_of(block, f"{where}[{i}]", role)
    return "\n\n".join(text_of(block, f"{where}[{i}]") for i, block in enumerate(content))
