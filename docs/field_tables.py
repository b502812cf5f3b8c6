"""Tables of fields, for the pages that `docs/write_*.py` write."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from inference.engines.fields import FieldRule

Row = tuple[str, ...]
NO_EFFECT = "checked, without effect: "
_PLACE = re.compile(r"(<!-- (\w+): from \S+ -->\n).*?(<!-- end -->)", re.DOTALL)
# Error messages have whole sentences; a table names a type.
_SHORT = (
    (r"a whole number from -9223372036854775808 to 9223372036854775807", "64-bit integer"),
    (r"a whole number from (\S+) to (\S+)", r"integer \1 to \2"),
    (r"a number from (\S+) to (\S+)", r"\1 to \2"),
    (r"true or false", "boolean"),
    (r"(?:one of|an?) (.+)", r"\1"),
)


def values(should: str) -> str:
    """Returns what a field takes, in few words."""
    for pattern, short in _SHORT:
        if match := re.fullmatch(pattern, should):
            return match.expand(short)
    return should


def listed(fields: Mapping[str, tuple[FieldRule, str]]) -> Iterator[tuple[str, str, str]]:
    """Yields name, values and effect; of a field without effect the reason alone."""
    for name, (rule, effect) in fields.items():
        taken = "checked" if effect.startswith(NO_EFFECT) else values(rule.should)
        yield name, taken, effect.removeprefix(NO_EFFECT).removeprefix("honoured: ")


def refused(reasons: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, reason in reasons.items():
        yield name, "refused", reason


def filled(page: Path, tables: Mapping[str, tuple[str, Iterable[Row]]]) -> str:
    """Returns the text of the page with these tables, each a head and rows, in their places."""
    made = {name: table(*parts) for name, parts in tables.items()}
    return _PLACE.sub(lambda place: f"{place[1]}{made[place[2]]}\n{place[3]}", page.read_text())


def table(head: str, rows: Iterable[Row]) -> str:
    """Names with the same cells share a row."""
    alike = dict[Row, list[str]]()
    for name, *cells in rows:
        alike.setdefault(tuple(cells), []).append(f"`{name}`")
    lines = (f"| {', '.join(names)} | {' | '.join(cells)} |" for cells, names in alike.items())
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *lines])
