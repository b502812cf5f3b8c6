"""Reading protobuf messages into the bodies that `inference/validation` checks: OpenAI's.

protobuf passes over a field that it does not know; here it is refused, as over REST.
"""

from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from inference.errors import BadRequest
from inference.templating import variables
from inference.validation.schemas import Body

LONGEST_TOLD = 64 * 1024  # bytes
_WHERE_PRESENT = (
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
)


def parsed(kind: type[Message], sent: bytes) -> Any:
    """Raises BadRequest."""
    try:
        message = kind.FromString(sent)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise BadRequest(f"this is not a {name}", code="invalid_protobuf") from None
    _check_fields(message, sent)
    return message


def plain_call(request: Any) -> Body:
    """Of an InferenceRequest, for `validation.requests.plain_call`."""
    body: Body = {"prompt": request.prompt}
    if request.HasField("max_tokens"):
        body["max_tokens"] = request.max_tokens
    if request.HasField("temperature"):
        body["temperature"] = round(request.temperature, 6)  # 32 bits: 0.7 is not 0.699999988
    if request.stop_words:
        body["stop_words"] = list(request.stop_words)
    return body


def chat(request: Any) -> Body:
    """Of a ChatRequest, for `validation.requests.check_chat`."""
    body: Body = {"model": request.model, "messages": list(map(_message, request.messages))}
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
        body["variables"] = {name: _value(told) for name, told in request.variables.items()}
    return body


def _value(told: Any) -> Any:
    """None where it has none, which no type takes."""
    kind = told.WhichOneof("value")
    return getattr(told, kind) if kind else None


def _message(message: Any) -> Body:
    return {"role": message.role, "content": message.content}


def _check_fields(message: Any, sent: bytes) -> None:
    """Names the unknown field in short messages only: finding it takes a look at every part."""
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() == size:
        return
    name = _unknown(message.FromString(sent)) if len(sent) < LONGEST_TOLD else None
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
