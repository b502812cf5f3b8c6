"""Faults of a spec, each with its path and the line of its JSON text."""

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

import msgspec
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference.assistants.spec import AssistantSpec, unpacked

MOST = 20  # faults that are told at once
_SPACE = re.compile(r"[ \t\n\r]*")
_AT = re.compile(r"(?P<what>.*?)(?: - at `\$?(?P<path>.*)`)?", re.DOTALL)
_FORMS = [
    (r"Object missing required field `(.+)`", gettext_lazy("The field “%s” is missing.")),
    (r"Object contains unknown field `(.+)`", gettext_lazy("There is no field “%s”.")),
    (r"Invalid enum value (.+)", gettext_lazy("%s is not one of the possible values.")),
    (r"Expected `(.+), got .+", gettext_lazy("This has to be `%s.")),
]


class Fault(msgspec.Struct, frozen=True):
    """`path` is such as `intents.0.slots.1.kind`; line 0 is unknown."""

    path: str
    message: str
    line: int = 0

    def __str__(self) -> str:
        place = _("Line %d") % self.line + ", " if self.line else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class WrongSpec(Exception):
    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def read(text: str) -> AssistantSpec:
    """Returns the spec that a JSON text has. Raises WrongSpec with lines."""
    try:
        json.loads(text)
        return unpacked(text)
    except json.JSONDecodeError as error:
        message = _("This is no JSON: %s.") % error.msg
        raise WrongSpec(Fault("", message, error.lineno)) from None
    except RecursionError:
        raise WrongSpec(Fault("", _("This is nested too deeply."), 1)) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WrongSpec(*with_lines([_fault(str(error))], text)) from None


def converted(value: Any) -> AssistantSpec:
    """Returns the spec of a parsed JSON value. Raises WrongSpec."""
    try:
        return msgspec.convert(value, AssistantSpec)
    except (msgspec.ValidationError, RecursionError) as error:
        raise WrongSpec(_fault(str(error))) from None


def _fault(error: str) -> Fault:
    match = _AT.fullmatch(error)
    assert match
    path = re.sub(r"\[(\d+|\.\.\.)\]", r".\1", match["path"] or "").replace("....", ".*")
    for form, text in _FORMS:
        if fault := re.fullmatch(form, match["what"]):
            return Fault(path.strip("."), str(text) % fault[1])
    return Fault(path.strip("."), match["what"])


# Lines ------------------------------------------------------------------------------------------
def with_lines(faults: list[Fault], text: str) -> list[Fault]:
    """Returns the faults with the lines of their paths in a JSON text."""
    try:
        lines = dict(_positions(text))
    except RecursionError:  # nested too deeply to be walked
        lines = {}
    return [msgspec.structs.replace(each, line=_line(each.path, lines)) for each in faults]


def _line(path: str, lines: dict[str, int]) -> int:
    """Returns the line of a path, or of the nearest part around it."""
    while path and path not in lines:
        path = path.rpartition(".")[0]
    return lines.get(path, 1)


def _positions(text: str) -> Iterator[tuple[str, int]]:
    """Yields the path and the line of each value in a valid JSON text."""
    yield from _Walk(text).value("", 0)


class _Walk:
    def __init__(self, text: str) -> None:
        self.text, self.end = text, 0
        self.line, self.counted = 1, 0  # the line of the last value, and where it begins
        self.scan = json.JSONDecoder().raw_decode

    def value(self, path: str, start: int) -> Iterator[tuple[str, int]]:
        start = self._skip(start)
        self.line += self.text.count("\n", self.counted, start)
        self.counted = start
        yield path, self.line
        opening = self.text[start : start + 1]
        if opening == "{":
            yield from self._members(path, start + 1)
        elif opening == "[":
            yield from self._items(path, start + 1)
        else:
            self.end = self.scan(self.text, start)[1]

    def _members(self, path: str, start: int) -> Iterator[tuple[str, int]]:
        while self.text[(start := self._skip(start))] != "}":
            name, end = scanstring(self.text, start + 1)
            inner = f"{path}.{name}" if path else name
            yield from self.value(inner, self._skip(end) + 1)
            start = self._next()
        self.end = start + 1

    def _items(self, path: str, start: int) -> Iterator[tuple[str, int]]:
        number = 0
        while self.text[(start := self._skip(start))] != "]":
            yield from self.value(f"{path}.{number}".lstrip("."), start)
            start, number = self._next(), number + 1
        self.end = start + 1

    def _next(self) -> int:
        """Returns where the next one begins, after a comma."""
        end = self._skip(self.end)
        return end + 1 if self.text[end] == "," else end

    def _skip(self, start: int) -> int:
        match = _SPACE.match(self.text, start)
        return match.end() if match else start
