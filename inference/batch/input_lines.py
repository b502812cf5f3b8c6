"""Splits the input of a batch into lines, and checks whether each can be a request."""

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.conf import settings

from inference.validation import bounded_json
from inference.validation.requests import Form

LONGEST_ID = 512
AROUND_BODY = 4096  # bytes of a line besides its body
ENDPOINTS: dict[str, Form] = {
    "/v1/chat/completions": Form.CHAT,
    "/v1/completions": Form.TEXT,
    "/v1/embeddings": Form.EMBEDDINGS,
}


class InputLine(NamedTuple):
    """One line. `text` is None for one that is too long to be read, which is the last."""

    number: int  # in the file, from 1
    offset: int  # bytes
    text: bytes | None


class InputProblem(NamedTuple):
    """A problem of a file or a line. It has no word of the client's, since it is not encrypted."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Malformed(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param

    def at(self, line: int) -> InputProblem:
        return InputProblem(self.code, self.message, line, self.param)


def longest() -> int:
    return int(settings.MAX_BODY_BYTES) + AROUND_BODY


def split(pieces: Iterable[bytes]) -> Iterator[InputLine]:
    """Yields the lines that are not blank, without a byte order mark."""
    for line in _split(pieces):
        if line.number == 1 and line.text and line.text.startswith(BOM_UTF8):
            line = InputLine(1, len(BOM_UTF8), line.text.removeprefix(BOM_UTF8))
        if line.text is None or line.text.strip():
            yield line


def _split(pieces: Iterable[bytes]) -> Iterator[InputLine]:
    """Yields the lines, with one line and one piece in memory."""
    rest, offset, number = bytearray(), 0, 0
    for piece in pieces:
        rest += piece
        *lines, tail = rest.split(b"\n")
        for line in lines:
            number += 1
            if line.strip():
                yield InputLine(number, offset, bytes(line) if len(line) <= longest() else None)
            offset += len(line) + 1
        rest = tail
        if len(rest) > longest():
            yield InputLine(number + 1, offset, None)
            return
    if rest.strip():
        yield InputLine(number + 1, offset, bytes(rest))


class LineRequest(NamedTuple):
    custom_id: str
    model: str  # unchecked; "" if it is no text


def line_request(text: bytes, endpoint: str) -> LineRequest:
    """Returns the request of a line to the endpoint. Raises Malformed."""
    fields = _object(text)
    name = fields.get("custom_id")
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_ID:
        message = f"`custom_id` must be a text of 1 to {LONGEST_ID} characters"
        raise Malformed("invalid_custom_id", message, "custom_id")
    if fields.get("method") != "POST":
        raise Malformed("invalid_method", "`method` must be POST", "method")
    _check_url(fields.get("url"), endpoint)
    body = fields.get("body")
    if not isinstance(body, dict):
        raise Malformed("invalid_body", "`body` must be an object", "body")
    model = body.get("model")
    return LineRequest(name, model if isinstance(model, str) else "")


def _object(text: bytes) -> dict[str, Any]:
    try:
        fields = bounded_json.loads(text)
    except ValueError:
        raise Malformed("invalid_json_line", "this line is not valid JSON") from None
    if not isinstance(fields, dict):
        raise Malformed("invalid_json_line", "this line is not a JSON object")
    return fields


def _check_url(url: Any, endpoint: str) -> None:
    if url == endpoint:
        return
    if url in list(ENDPOINTS):
        message = f"`url` must be the batch's endpoint, {endpoint}"
        raise Malformed("mismatched_url", message, "url")
    raise Malformed("invalid_url", f"`url` must be one of {', '.join(ENDPOINTS)}", "url")


def key_of(number: int) -> bytes:
    return number.to_bytes(4, "big")


def number_of(key: bytes | memoryview) -> int:
    return int.from_bytes(key, "big")
