"""The output of commands: a table or a few lines for people, JSON for programs."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

Columns = Mapping[str, Callable[[Mapping[str, Any]], Any]]  # title -> the cell of a row


class Result(NamedTuple):
    """The result of a command: `--json` prints `data`, people read `text`."""

    data: Any
    text: str


def table(rows: Iterable[Mapping[str, Any]], columns: Columns) -> Result:
    listed = list(rows)
    lines = [list(columns), *([_cell(of(row)) for of in columns.values()] for row in listed)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return Result(listed, text)


def fields(row: Mapping[str, Any]) -> Result:
    width = max(map(len, row))
    return Result(row, "\n".join(f"{name.ljust(width)}  {_cell(row[name])}" for name in row))


def outcome(noun: str, name: str, did: str, row: Any, differences: Iterable[str] = ()) -> Result:
    """Returns the result of an act. `did` is added, changed, unchanged and the like."""
    listed = list(differences)
    more = f" ({', '.join(listed)})" if listed else ""
    changed = not did.startswith("unchanged")
    data = {"changed": changed, "did": did, "differences": listed, noun: row}
    return Result(data, f"{noun} {name}: {did}{more}")


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Returns `slots: 64 -> 128` for each field that both have with different values."""
    both = [name for name in before if name in after and before[name] != after[name]]
    return [f"{name}: {_cell(before[name])} -> {_cell(after[name])}" for name in both]


def printed(result: Result, *, as_json: bool) -> str:
    text = json.dumps(result.data, indent=2, ensure_ascii=False) if as_json else result.text
    return "\n".join(map(visible, text.split("\n")))


def visible(text: str) -> str:
    """Escape unprintable characters as JSON does: an engine's words could steer the terminal."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return visible(text)
