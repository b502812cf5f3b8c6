"""Markdown tables, and figures as their cells show them."""

from collections.abc import Iterable, Sequence


def short(value: float) -> str:
    """Three significant figures, thousands with a comma."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(value: float | None) -> str:
    return "" if value is None else short(value)


def pair(one: float | None, other: float | None) -> str:
    return f"{cell(one)} / {cell(other)}" if one is not None or other is not None else ""


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def paragraphs(*texts: str) -> str:
    return "\n\n".join(filter(None, texts))


def complaints(lines: Iterable[str]) -> str:
    """The beginnings of bad answers as a list; empty where all were good."""
    return "\n".join(f"* `{line}`" for line in sorted(set(lines)))
