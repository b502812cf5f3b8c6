"""Rules for personal data in Chinese and English texts, with check digits where a number has them.

`\\b` does not work beside Chinese letters, which `\\w` holds: look-arounds and re.ASCII do.
Sources: GB 11643-1999 (ID card), GB 32100-2015 (credit code), ISO/IEC 7812 (cards), GA 36 (plates).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial

_BEFORE, _AFTER = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
_PROVINCES = {
    *("11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37"),
    *("41", "42", "43", "44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64"),
    *("65", "71", "81", "82", "83"),
}
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_CODE_LETTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_PLATE_PLACES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"


@dataclass(frozen=True, slots=True)
class Rule:
    kind: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool] | None = None


def is_id_card(text: str) -> bool:
    """Says whether 18 letters are an ID card's: province, date of birth and check digit."""
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    if text[:2] not in _PROVINCES or not 1900 <= born.year <= 2100:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], _ID_WEIGHTS, strict=True))
    return _ID_CHECKS[total % 11] == text[17].upper()


def is_credit_code(text: str) -> bool:
    """Says whether 18 letters are a unified social credit code."""
    values = [_CODE_LETTERS.index(letter) for letter in text[:17]]
    total = sum(value * pow(3, place, 31) for place, value in enumerate(values))
    return _CODE_LETTERS[-total % 31] == text[17]


def is_bank_card(text: str) -> bool:
    """Says whether a number has an issuer's prefix and length, and the check digit of Luhn.

    Luhn alone takes one long number in ten, such as the number of an order.
    """
    digits = re.sub(r"[ -]", "", text)
    if not any(digits.startswith(starts) and len(digits) in sizes for starts, sizes in _ISSUERS):
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(sum(divmod(value, 10)) for value in doubled) % 10 == 0


_MASTERCARD = tuple(str(number) for number in (*range(51, 56), *range(22, 28)))
_ISSUERS: tuple[tuple[tuple[str, ...], range], ...] = (
    (("62", "60"), range(16, 20)),  # UnionPay
    (("4",), range(13, 20, 3)),  # Visa
    (_MASTERCARD, range(16, 17)),
    (("34", "37"), range(15, 16)),  # American Express
    (("35",), range(16, 17)),  # JCB
)
_CODE = r"[0-9A-HJ-NPQRTUWXY]"
_CARD = r"\d{13,19}|\d{4}([ -])\d{4}(?:\1\d{4}){1,2}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{5}"
_LOCAL_PART, _LABEL = r"[A-Za-z0-9._%+-]", r"[A-Za-z0-9-]{1,63}"
_AREA = r"(?:\(0\d{2,3}\) ?|（0\d{2,3}）|0\d{2,3}[- ])"
_CHINA = r"(?:(?:\+|00)?86[- ]?)?"
_PLATE_END = r"(?:[A-HJ-NP-Z0-9]{5,6}|[A-HJ-NP-Z0-9]{4}[学挂警港澳领试超使])"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"


def _rule(kind: str, pattern: str, check: Callable[[str], bool] | None = None) -> Rule:
    return Rule(kind, re.compile(pattern, re.ASCII), check)


def _has_digit(text: str) -> bool:
    return any(letter.isdigit() for letter in text)


def _has_phone_length(text: str) -> bool:
    return 8 <= sum(letter.isdigit() for letter in text) <= 15


# Phones come before cards, or "86 138…" is read as the begin of a card.
RULES = (
    _rule("ID_CARD", rf"{_BEFORE}[1-8]\d{{16}}[\dXx]{_AFTER}", is_id_card),
    _rule("CREDIT_CODE", rf"{_BEFORE}[159NY]{_CODE}\d{{6}}{_CODE}{{10}}{_AFTER}", is_credit_code),
    _rule(
        "EMAIL", rf"(?<!{_LOCAL_PART}){_LOCAL_PART}{{1,64}}@(?:{_LABEL}\.){{1,8}}[A-Za-z]{{2,24}}"
    ),
    _rule(
        "PHONE",
        rf"{_BEFORE}(?<!\d\.){_CHINA}1[3-9]\d(?:\d{{8}}|([- ])\d{{4}}\1\d{{4}}){_AFTER}",
    ),
    _rule(
        "PHONE",
        rf"(?<![0-9A-Za-z+])\+(?!86)[1-9]\d{{0,2}}(?:[ -]?\(?\d{{1,4}}\)?){{2,6}}{_AFTER}",
        _has_phone_length,
    ),
    _rule("BANK_CARD", rf"{_BEFORE}(?:{_CARD}){_AFTER}", is_bank_card),
    _rule("LANDLINE", rf"(?<![0-9A-Za-z-]){_AREA}[2-9]\d{{6,7}}(?:-\d{{1,6}})?{_AFTER}"),
    _rule("PLATE", rf"[{_PLATE_PLACES}][A-HJ-NP-Z][·• ]?{_PLATE_END}{_AFTER}", _has_digit),
    _rule("PASSPORT", rf"{_BEFORE}(?:E[A-HJ-NP-Z]\d{{7}}|[EG]\d{{8}}){_AFTER}"),
    _rule("IPV4", rf"(?<![\d.A-Za-z])(?:{_OCTET}\.){{3}}{_OCTET}(?!\d|\.\d|[A-Za-z])"),
)


def mask(text: str) -> tuple[str, dict[str, int]]:
    """Returns the text with each item replaced by its kind in brackets, and how many of each."""
    counts = dict[str, int]()
    for rule in RULES:
        text = rule.pattern.sub(partial(_word, rule, counts), text)
    return text, counts


def _word(rule: Rule, counts: dict[str, int], match: re.Match[str]) -> str:
    if rule.check is not None and not rule.check(match.group()):
        return match.group()
    counts[rule.kind] = counts.get(rule.kind, 0) + 1
    return f"[{rule.kind}]"
