"""The characters of an upload: UTF-8, UTF-16 with its mark, or GB 18030 that reads as Chinese."""

import codecs
import re

from inference.text_extraction.unreadable import UnreadableDocument

_MARKED = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
# First bytes of signs and of the 3,755 commonest characters in GB 2312, and their least share.
# Other writings that are read as GB 18030 have rare characters most of all.
_SIGNS, _COMMON, COMMON_SHARE = range(0xA1, 0xA4), range(0xB0, 0xD8), 0.8
_SECOND = 0xA1  # the least second byte of GB 2312
MOST_CONTROLS = 0.01  # of the characters; more of them is no text


def decoded(raw: bytes) -> str:
    """Returns the text with `\\n` as line ends, without control characters.

    Raises UnreadableDocument with `encoding` or `not_text`.
    """
    text = _characters(raw)
    if len(_CONTROL.findall(text)) > MOST_CONTROLS * len(text):
        raise UnreadableDocument("not_text")
    return cleaned(text.removeprefix("\ufeff"))


def cleaned(text: str) -> str:
    """Returns the text with `\\n` as line ends, without control characters and lone surrogates."""
    text = _CONTROL.sub("", text).encode(errors="ignore").decode()
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0c", "\n")


def _characters(raw: bytes) -> str:
    for mark, name in _MARKED:
        if raw.startswith(mark):
            return _decode(raw, name)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        text = _decode(raw, "gb18030")
    codes = [character.encode("gb18030") for character in _BEYOND_ASCII.findall(text)]
    common = sum(map(_is_common, codes))
    if common < COMMON_SHARE * len(codes):
        raise UnreadableDocument("encoding")
    return text


def _is_common(code: bytes) -> bool:
    """Returns whether a character is a usual one. `°C` in Latin-1 is one of GB 18030, and rare."""
    return code[1] >= _SECOND and (code[0] in _SIGNS or code[0] in _COMMON)


def _decode(raw: bytes, name: str) -> str:
    try:
        return raw.decode(name)
    except UnicodeDecodeError:
        raise UnreadableDocument("encoding") from None
