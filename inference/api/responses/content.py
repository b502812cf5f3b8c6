"""The parts of a message's content: which there are, and what becomes of each.

`docs/write_responses.py` writes a table of docs/api/responses.md from PARTS.
"""

from typing import Any, NamedTuple

from inference.engines.base import Engine
from inference.errors import BadRequest, must_be
from inference.validation.messages import unsupported
from inference.validation.schemas import Body

USER, ASSISTANT, SYSTEM, DEVELOPER = "user", "assistant", "system", "developer"
_ALL = (USER, ASSISTANT, SYSTEM, DEVELOPER)
_DETAILS = ("low", "high", "auto")
_NOTHING_IS_FETCHED = "nothing is fetched for you: send the data in base64"


class Part(NamedTuple):
    """A type of part. `roles` are those of the messages that may hold it."""

    roles: tuple[str, ...]
    effect: str


PARTS: dict[str, Part] = {
    "input_text": Part(_ALL, "the text"),
    "output_text": Part(_ALL, "the text; `annotations`, `logprobs`: no effect"),
    "text": Part(_ALL, "the text"),
    "refusal": Part((ASSISTANT,), "the refusal, as a text"),
    "input_image": Part(
        (USER,), "`image_url` as a `data:` URL, if the model sees images; addresses and `file_id` "
        "are refused"
    ),
    "input_file": Part(
        (USER,), "`file_data` in base64 with `filename`, if the model reads files; `file_url` and "
        "`file_id` are refused"
    ),
    "input_audio": Part((USER,), "`input_audio` with `data` and `format`, if the model hears"),
}  # fmt: skip


def parts(content: Any, where: str, role: str, engine: Engine) -> list[Body]:
    """Returns the content as parts of a chat's message. Raises BadRequest."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not (content or role == ASSISTANT):
        raise must_be(where, "a string or a non-empty list")
    return [_part(part, f"{where}[{i}]", role, engine) for i, part in enumerate(content)]


def joined(listed: list[Body]) -> str | list[Body]:
    """Returns one text where there are only texts: not each template reads lists."""
    if all(part["type"] == "text" for part in listed):
        return "\n\n".join(part["text"] for part in listed)
    return listed


def text_of(value: Body, where: str, name: str) -> str:
    if not isinstance(text := value.get(name), str):
        raise must_be(f"{where}.{name}", "a string")
    return text


def _part(part: Any, where: str, role: str, engine: Engine) -> Body:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in PARTS or role not in PARTS[kind].roles:
        names = ", ".join(name for name, each in PARTS.items() if role in each.roles)
        code = "unsupported_value" if isinstance(kind, str) and kind not in PARTS else ""
        raise must_be(where, f"a part whose `type` is one of {names}", code=code)
    match kind:
        case "input_image":
            return _image(part, where, engine)
        case "input_file":
            return _file(part, where, engine)
        case "input_audio":
            return _audio(part, where, engine)
    name = "refusal" if kind == "refusal" else "text"
    return {"type": "text", "text": text_of(part, where, name)}


def _image(part: Body, where: str, engine: Engine) -> Body:
    if not engine.capabilities.images or "image_url" not in engine.parts:
        raise unsupported(engine, "images", where)
    url = part.get("image_url")
    if not isinstance(url, str) or not url.startswith("data:"):
        raise _not_fetched(f"{where}.image_url")
    image = {"url": url}
    if part.get("detail") in _DETAILS:
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image}


def _file(part: Body, where: str, engine: Engine) -> Body:
    if not engine.capabilities.files or "file" not in engine.parts:
        raise unsupported(engine, "files", where)
    data = part.get("file_data")
    if not isinstance(data, str) or (":" in data and not data.startswith("data:")):
        raise _not_fetched(f"{where}.file_data")
    name = text_of(part, where, "filename") if part.get("filename") else "document.pdf"
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def _audio(part: Body, where: str, engine: Engine) -> Body:
    if not engine.capabilities.audio or "input_audio" not in engine.parts:
        raise unsupported(engine, "audio", where)
    sound = part.get("input_audio")
    if not isinstance(sound, dict):
        raise must_be(f"{where}.input_audio", "an object with `data` and `format`")
    data, form = (text_of(sound, f"{where}.input_audio", name) for name in ("data", "format"))
    if ":" in data:
        raise _not_fetched(f"{where}.input_audio.data")
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


def _not_fetched(where: str) -> BadRequest:
    what = f"`{where}` must hold the data: {_NOTHING_IS_FETCHED}"
    return BadRequest(what, code="address_not_fetched", param=where)
