"""The names of the checks' figures in words. A figure without one is shown by its own name."""

import re
from typing import Any

from console.compliance.texts import Text, content

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*")
WORDS: dict[str, Text] = content("figures")
_ORDER = {name: position for position, name in enumerate(WORDS)}
YES, NO = Text("yes", "是"), Text("no", "否")
VALUES: dict[str, Text] = {
    "tls": Text("TLS", "TLS"),
    "same_machine": Text("same machine", "同一台机器"),
    "clear": Text("in clear", "明文"),
}
LISTS = ("found", "table")  # shown beneath, not among the figures


def figure_lines(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns name and value of each figure in words."""
    names = sorted(figures, key=lambda name: _ORDER.get(name, len(_ORDER)))  # jsonb has no order
    return [(str(WORDS.get(n, n)), _value(figures[n])) for n in names if n not in LISTS]


def findings(figures: dict[str, Any]) -> list[str]:
    return [str(line) for line in figures.get("found", [])]


def _value(value: Any) -> str:
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, bool):
        return str(YES if value else NO)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = str(value)
    moment = _MOMENT.fullmatch(text)
    return f"{moment[1]} {moment[2]}" if moment else str(VALUES.get(text, text))
