"""Numbers in a sentence: digits, English words, Chinese characters."""

import re
import unicodedata

_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_SMALL += ["eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"]
_SMALL += ["eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: number for number, word in enumerate(_SMALL)}
_WORDS |= {word: 10 * number for number, word in enumerate(_TENS, start=2)}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_HAN = {char: number for number, char in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_HAN_SCALES = {"十": 10, "百": 100, "千": 1_000, "万": 10_000}
_ENGLISH = "|".join(sorted({*_WORDS, *_SCALES}, key=len, reverse=True))
_DIGITS = (
    r"(?<![A-Za-z0-9_.,-])-?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,6})?(?!\d|[.,-]?[A-Za-z]*\d)"
)
_MOST_DIGITS = 40  # more are not worth the work
_LARGEST = 10**15  # what is larger is no number that anybody means
_NUMBER = re.compile(
    rf"(?P<digits>{_DIGITS})"
    rf"|(?P<english>\b(?:{_ENGLISH})(?:(?:[ -]|\s+and\s+)(?:{_ENGLISH}))*\b)"
    r"|(?P<han>[零〇一二两三四五六七八九十百千万]+)",
    re.IGNORECASE,
)


def numbers(text: str) -> list[tuple[str, int | float]]:
    """Returns the numbers of a text in their order, each with its characters."""
    text = unicodedata.normalize("NFKC", text)[:5_000]
    values = ((match[0], _value(match)) for match in _NUMBER.finditer(text))
    return [
        (piece, value) for piece, value in values if value is not None and abs(value) < _LARGEST
    ]


def _value(match: re.Match[str]) -> int | float | None:
    if match["digits"]:
        text = match[0].replace(",", "")
        return float(text) if "." in text or len(text) > _MOST_DIGITS else int(text)
    return _english(match[0].lower()) if match["english"] else _han(match[0])


def _english(text: str) -> int:
    total = part = 0
    for word in re.split(r"[\s-]+", text):
        if scale := _SCALES.get(word):
            part = (part or 1) * scale
            if scale > 100:
                total, part = total + part, 0
        else:
            part += _WORDS.get(word, 0)
    return total + part


def _han(text: str) -> int | None:
    """Returns the number: 二十三, 一百零五, 三万; digits in a row are read as such (一二三).

    A digit right behind a scale counts tenths of it, as people say it: 三万五 is 35,000.
    """
    if len(text) > _MOST_DIGITS:
        return None
    if not set(text) & set(_HAN_SCALES):
        return int("".join(str(_HAN[char]) for char in text))
    total = part = digit = 0
    for char in text:
        if char in _HAN:
            digit = _HAN[char]
        elif char == "万":
            total, part, digit = (total + part + digit) * 10_000, 0, 0
        else:
            part, digit = part + (digit or 1) * _HAN_SCALES[char], 0
    tenth = _HAN_SCALES.get(text[-2:-1], 10) // 10
    return total + part + digit * tenth
