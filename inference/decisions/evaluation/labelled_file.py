"""Reads a file of labelled rows: CSV with a header, or a JSON object in each line.

A refusal names the lines that are wrong, never their values.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import orjson
from django.utils.translation import gettext as _

LARGEST, LONGEST_LINE = 1_000_000, 64 * 1024  # bytes
MOST_ROWS, MOST_PROBLEMS = 5000, 10
_YES = frozenset(("1", "1.0", "true", "yes", "positive"))
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NO = frozenset(("0", "0.0", "false", "no", "negative"))


class BadFile(ValueError):
    """The file cannot be taken. The message is one or more sentences for people."""


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row: the input as a decision takes it, what happened, and a card or the like."""

    input: dict[str, Any]
    label: int
    group: str = ""


class _Wrong(ValueError):
    pass


def rows_in(
    data: bytes,
    label: str,
    group: str = "",
    *,
    types: Mapping[str, str],
    check: Callable[[dict[str, Any]], str],
    bounded: bool = True,
) -> list[Row]:
    """Returns the rows of a file. Raises BadFile.

    `label` and `group` name their columns. `types` has the JSON types of the inputs, by which a
    CSV's texts are read; columns that are neither are left out. `check` returns what is wrong with
    an input, or "". `bounded` is for files that others send.
    """
    if bounded and len(data) > LARGEST:
        raise BadFile(_("The file is larger than %d bytes.") % LARGEST)
    rows, problems = list[Row](), list[str]()
    for number, fields in _objects(data, types):
        try:
            rows.append(_row(fields, label, group, types, check))
        except _Wrong as problem:
            problems.append(_("Line %d: %s") % (number, problem))
        if len(problems) == MOST_PROBLEMS or (bounded and len(rows) > MOST_ROWS):
            break
    if problems:
        raise BadFile(" ".join(problems))
    if not rows or (bounded and len(rows) > MOST_ROWS):
        raise BadFile(_("A file has 1 to %d rows.") % MOST_ROWS)
    return rows


def columns_of(data: bytes) -> list[str]:
    """Returns the names of a file's columns, by its first line. Raises BadFile."""
    first = next(_objects(data, {}), None)
    return list(first[1]) if first and isinstance(first[1], dict) else []


def _row(
    fields: dict[str, Any] | str,
    label: str,
    group: str,
    types: Mapping[str, str],
    check: Callable[[dict[str, Any]], str],
) -> Row:
    if isinstance(fields, str):
        raise _Wrong(fields)
    row = {name: value for name, value in fields.items() if name in types}
    if wrong := check(row):
        raise _Wrong(wrong)
    if group and group not in fields:
        raise _Wrong(_("it lacks the column %s.") % group)
    return Row(row, _label(fields, label), str(fields.get(group, "")) if group else "")


def _label(fields: dict[str, Any], name: str) -> int:
    if name not in fields:
        raise _Wrong(_("it lacks the column %s.") % name)
    word = str(fields[name]).strip().lower()
    if word not in _YES | _NO:
        raise _Wrong(_("%s must be 1 or 0 (or yes or no, true or false).") % name)
    return int(word in _YES)


def _objects(data: bytes, types: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yields the number and the fields of each line, or what is wrong with it."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadFile(_("The file is not UTF-8.")) from None
    if text.lstrip().startswith("{"):
        yield from _json_lines(text)
    else:
        yield from _csv_lines(text, types)


def _json_lines(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = orjson.loads(line) if len(line) <= LONGEST_LINE else None
        except orjson.JSONDecodeError:
            fields = None
        yield number, fields if isinstance(fields, dict) else _("it is no JSON object.")


def _csv_lines(text: str, types: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for fields in reader:
            if None in fields or None in fields.values():
                yield reader.line_num, _("it has another number of columns than the header.")
            else:
                yield reader.line_num, _typed(fields, types)
    except csv.Error:
        raise BadFile(_("Line %d: %s") % (reader.line_num + 1, _("it is no CSV."))) from None


def _typed(fields: Mapping[str, str], types: Mapping[str, str]) -> dict[str, Any]:
    """Reads an empty cell of an input as a missing one."""
    return {
        name: _value(text, types.get(name, "string"))
        for name, text in fields.items()
        if text != "" or name not in types
    }


def _value(text: str, kind: str) -> Any:
    """Returns a cell's value; a text that is none of its type is left for the check."""
    if kind == "boolean" and text.strip().lower() in _YES | _NO:
        return text.strip().lower() in _YES
    if kind == "integer" and _WHOLE.fullmatch(text.strip()):
        return int(text)
    if kind == "number":
        try:
            return float(text)
        except ValueError:
            return text
    return text
