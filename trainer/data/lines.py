"""Lines of a file in bounded memory: one of 50 MB is passed over, not held."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from trainer.refusals import bad_data

_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Line:
    """A line and its number, from 1; `fault` says why it has no text."""

    number: int
    text: str
    fault: str = ""


def lines(file: BinaryIO, longest: int) -> Iterator[Line]:
    number = 0
    while data := file.readline(longest + 1):
        number += 1
        if number == 1:
            data = _without_mark(data)
        if len(data) > longest and not data.endswith(b"\n"):
            _pass_over(file)
            yield Line(number, "", "line_too_long")
        else:
            yield _decoded(number, data)


def _without_mark(data: bytes) -> bytes:
    if data.startswith(_WIDE):
        raise bad_data("wrong_encoding", "A file is in UTF-16: save it as UTF-8")
    return data.removeprefix(_BOM)


def _pass_over(file: BinaryIO) -> None:
    while data := file.readline(_CHUNK):
        if data.endswith(b"\n"):
            return


def _decoded(number: int, data: bytes) -> Line:
    try:
        text = data.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        return Line(number, "", "wrong_encoding")
    return Line(number, "", "binary") if "\0" in text else Line(number, text)
