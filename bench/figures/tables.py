"""Markdown tables, and figures as their cells show them."""

from collections.abc import Iterable, Sequence

from bench.report.picture import short


def cell(value: float | None) -> str:
    return "" if value is None else short(value)


def pair(one: float | None, other: float | None) -> str:
    return f"{cell(one)} / {cell(other)}" if one is not None or other is not None else ""


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
