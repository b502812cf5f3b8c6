"""Parses a regular expression: ECMAScript's syntax with the additions of Python and Rust.

Look-around takes no characters, so it is parsed and left out. The caller bounds the length of a
pattern and the number of its groups, and so the depth of the recursion here.
"""

import re
from dataclasses import dataclass

Ranges = tuple[tuple[int, int], ...]  # of code points, both ends included
LAST = 0x10FFFF
LONGEST_NUMBER = 6  # digits of a repetition


class WrongPattern(Exception):
    """The message continues the words "a pattern"."""


@dataclass(frozen=True, slots=True)
class Characters:
    """One of these characters."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Alternatives:
    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Repetition:
    inner: "Node"
    least: int
    most: int | None  # None: without a limit


Node = Characters | Sequence | Alternatives | Repetition
EMPTY = Sequence(())
_DIGITS: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Ranges = ((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x2000, 0x200A), (0x3000, 0x3000))
_ANY: Ranges = ((0, LAST),)
_DOT: Ranges = ((0, 0x09), (0x0B, LAST))
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_CONTROLS = {"n": 0x0A, "r": 0x0D, "t": 0x09, "f": 0x0C, "v": 0x0B, "a": 0x07, "e": 0x1B, "0": 0}
_QUANTIFIER = re.compile(r"[*+?]|\{(\d*)(,?)(\d*)\}")
_USUAL: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_OPENS = re.compile(
    r"\?(?:(?P<around><?[=!])|P?<[^>=!]*>|[:>]|(?P<flags>[a-zA-Z-]*\))|[a-zA-Z-]+:)"
)
_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|[xuU]\{([0-9a-fA-F]{1,8})\}|U(\w{8})")
_PROPERTY = re.compile(r"[pP](?:\{[^}]*\}|.)")


def parsed(pattern: str) -> Node:
    """Raises WrongPattern."""
    reader = _Reader(pattern)
    tree = reader.alternatives()
    if reader.at < len(pattern):
        raise WrongPattern("has a `)` too many")
    return tree


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern, self.at = pattern, 0

    def alternatives(self) -> Node:
        """Parse up to a `)` or the end."""
        parts = [self._sequence()]
        while self._takes("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Alternatives(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while (char := self._peek()) and char not in "|)":
            parts.append(self._repeated())
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeated(self) -> Node:
        begins = self.at
        if self._quantifier() is not None:
            raise WrongPattern(f"repeats nothing at character {begins + 1}")
        item = self._item()
        if (times := self._quantifier()) is None:
            return item
        least, most = times
        if most is not None and least > most:
            raise WrongPattern(f"has a repetition whose least, {least}, is above its most, {most}")
        self._takes("?") or self._takes("+")  # lazy, possessive: the same texts
        if self._quantifier() is not None:
            raise WrongPattern(f"repeats a repetition at character {self.at}")
        return Repetition(item, least, most)

    def _quantifier(self) -> tuple[int, int | None] | None:
        """Returns least and most; None if no quantifier follows: a `{` alone is a character."""
        match = _QUANTIFIER.match(self._pattern, self.at)
        if match is None or not (match[1] or match[3] or match[0] in _USUAL):
            return None
        self.at = match.end()
        if match[0] in _USUAL:
            return _USUAL[match[0]]
        if max(len(match[1]), len(match[3])) > LONGEST_NUMBER:
            raise WrongPattern("has a repetition that is too large")
        least = int(match[1] or 0)
        if not match[2]:
            return least, least
        return least, int(match[3]) if match[3] else None

    def _item(self) -> Node:
        char = self._next()
        match char:
            case "(":
                return self._group()
            case "[":
                return Characters(self._class())
            case ".":
                return Characters(_DOT)
            case "^" | "$":
                return EMPTY
            case "\\":
                return self._escape()
        return Characters(((ord(char), ord(char)),))

    def _group(self) -> Node:
        opens = _OPENS.match(self._pattern, self.at)
        if opens is None and self._peek() == "?":
            raise WrongPattern("has a group of an unknown kind")
        self.at = opens.end() if opens else self.at
        if opens and opens["flags"]:
            return EMPTY
        inner = self.alternatives()
        if not self._takes(")"):
            raise WrongPattern("has a `(` without its `)`")
        return EMPTY if opens and opens["around"] else inner

    # Characters ----------------------------------------------------------------------------------
    def _escape(self) -> Node:
        char = self._peek()
        if char in tuple("bBAZzG"):
            self.at += 1
            return EMPTY
        if char in tuple("123456789k"):
            raise WrongPattern("refers back to a group, which no grammar can")
        return Characters(self._escaped())

    def _escaped(self) -> Ranges:
        if code := _CODE.match(self._pattern, self.at):
            self.at = code.end()
            return self._point(next(group for group in code.groups() if group))
        if match := _PROPERTY.match(self._pattern, self.at):
            self.at = match.end()
            return _ANY
        char = self._next()
        if (ranges := _CLASSES.get(char.lower())) is not None:
            return ranges if char.islower() else _complement(ranges)
        if char == "c" and self._peek().isalpha():
            return ((ord(self._next()) % 32,) * 2,)
        return ((_CONTROLS.get(char, ord(char)),) * 2,)

    @staticmethod
    def _point(digits: str) -> Ranges:
        try:
            point = int(digits, 16)
        except ValueError:
            point = LAST + 1
        if point > LAST:
            raise WrongPattern("names a character that there is not")
        return ((point, point),)

    def _class(self) -> Ranges:
        negated, members = self._takes("^"), list[tuple[int, int]]()
        while not self._takes("]"):
            ranges = self._in_class()
            if self._peek() == "-" and self._peek(1) not in ("]", ""):
                self.at += 1
                ranges = _between(ranges, self._in_class())
            members += ranges
        if not members:
            raise WrongPattern("has an empty class of characters")
        ranges = _merged(members)
        return _complement(ranges) if negated else ranges

    def _in_class(self) -> Ranges:
        char = self._next("has a `[` without its `]`")
        if char != "\\":
            return ((ord(char), ord(char)),)
        if self._takes("b"):
            return ((0x08, 0x08),)
        return self._escaped()

    # Reading on ----------------------------------------------------------------------------------
    def _peek(self, ahead: int = 0) -> str:
        return self._pattern[self.at + ahead : self.at + ahead + 1]

    def _next(self, at_the_end: str = "ends in the middle of an escape") -> str:
        if not (char := self._peek()):
            raise WrongPattern(at_the_end)
        self.at += 1
        return char

    def _takes(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self.at += 1
        return True


def _between(first: Ranges, last: Ranges) -> Ranges:
    """Returns the range from one to the other; with a class at either end, parts and hyphen."""
    if len(first) > 1 or len(last) > 1 or first[0][0] < first[0][1] or last[0][0] < last[0][1]:
        return (*first, (0x2D, 0x2D), *last)
    low, high = first[0][0], last[0][1]
    if low > high:
        raise WrongPattern("has a range of characters that ends before it begins")
    return ((low, high),)


def _merged(ranges: list[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement(ranges: Ranges) -> Ranges:
    """Returns all characters except these, which are sorted."""
    gaps, begin = list[tuple[int, int]](), 0
    for low, high in ranges:
        if low > begin:
            gaps.append((begin, low - 1))
        begin = high + 1
    return tuple(gaps) if begin > LAST else (*gaps, (begin, LAST))
