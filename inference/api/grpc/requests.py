"""Turns protobuf messages into OpenAI's bodies, which `inference/validation` checks.

protobuf ignores unknown fields; here they are refused, as over REST.
"""

from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from inference.errors import BadRequest
from inference.templating import variables
from inference.validation.schemas import Body

LONGEST_NAMED = 64 * 1024  # bytes of a message whose unknown field is named
LIGHT = 16 * 1024  # bytes: shorter messages are not counted
MOST_FIELDS = 20_000
_WHERE_PRESENT = (
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
)


def parsed(kind: type[Message], encoded: bytes) -> Any:
    """Parse a message. Raises BadRequest."""
    if len(encoded) > LIGHT and has_more_fields(encoded, MOST_FIELDS):
        what = f"at most {MOST_FIELDS} fields, those of inner messages not counted"
        raise BadRequest(f"a message has {what}", code="invalid_protobuf")
    try:
        message = kind.FromString(encoded)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise BadRequest(f"this is not a {name}", code="invalid_protobuf") from None
    _check_fields(message, encoded)
    return message


def has_more_fields(encoded: bytes, most: int) -> bool:
    """Returns whether the message itself, with what is in its groups, has more fields than `most`.

    Two bytes make a field, which becomes an object: 4 MiB of them take a second. Invalid protobuf
    is left to the parser.
    """
    position, fields = 0, 0
    while position < len(encoded):
        fields += 1
        if fields > most:
            return True
        tag, position = _varint(encoded, position)
        match tag & 7:
            case 0:
                _, position = _varint(encoded, position)
            case 1:
                position += 8
            case 2:
                length, position = _varint(encoded, position)
                position += length
            case 3 | 4:  # a group begins or ends: protobuf reads on behind it
                continue
            case 5:
                position += 4
            case _:
                return False
    return False


def _varint(encoded: bytes, position: int) -> tuple[int, int]:
    """Returns the value and the position behind it, which may be the end of a truncated message."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(encoded):
            break
        byte = encoded[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, position


def plain_call(request: Any) -> Body:
    """Returns the body of an InferenceRequest, for `validation.requests.plain_call`."""
    body: Body = {"prompt": request.prompt}
    if request.HasField("max_tokens"):
        body["max_tokens"] = request.max_tokens
    if request.HasField("temperature"):
        body["temperature"] = round(request.temperature, 6)  # 32 bits: 0.7 is not 0.699999988
    if request.stop_words:
        body["stop_words"] = list(request.stop_words)
    return body


def chat(request: Any) -> Body:
    """Returns the body of a ChatRequest, for `validation.requests.check_chat`."""
    messages = [{"role": each.role, "content": each.content} for each in request.messages]
    body: Body = {"model": request.model, "messages": messages}
    for name in _WHERE_PRESENT:
        if request.HasField(name):
            body[name] = getattr(request, name)
    if request.stop:
        body["stop"] = list(request.stop)
    if request.template:
        body["template"] = request.template
    if len(request.variables) > variables.MOST:
        what = f"`variables` must be at most {variables.MOST}"
        raise BadRequest(what, param="variables")
    if request.variables:
        body["variables"] = {name: _value(variable) for name, variable in request.variables.items()}
    return body


def _value(variable: Any) -> Any:
    """Returns the value; None if it has none, which no type accepts."""
    kind = variable.WhichOneof("value")
    return getattr(variable, kind) if kind else None


def _check_fields(message: Any, encoded: bytes) -> None:
    """Refuse unknown fields. Only in short messages the field is named: the search is slow."""
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() == size:
        return
    name = _unknown(message.FromString(encoded)) if len(encoded) < LONGEST_NAMED else None
    which = f"field {name}" if name else "a field of it"
    raise BadRequest(
        f"{which} is not known here, or not of this type: make your stubs from our proto",
        param=name,
    )


def _unknown(message: Message, where: str = "") -> str | None:
    if len(unknown := UnknownFieldSet(message)):
        return f"{where}{unknown[0].field_number}"
    inside = enumerate(getattr(message, "messages", ()))
    return next(filter(None, (_unknown(inner, f"messages[{i}].") for i, inner in inside)), None)
