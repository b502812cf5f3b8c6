"""The difference of two versions of a template, line by line."""

import difflib
from dataclasses import dataclass

from console.prompts.forms import shown
from inference.templating.content import Content

MOST_LINES = 2_000  # the time to compare grows with their square


@dataclass(frozen=True, slots=True)
class Line:
    sign: str  # "+", "-", " "
    text: str


def as_lines(content: Content) -> list[str]:
    """Returns a version as lines of text."""
    lines = []
    for one in content.messages:
        lines += [f"[{one.role}]", *one.content.splitlines(), ""]
    if content.prompt:
        lines += ["[prompt]", *content.prompt.splitlines(), ""]
    for each in content.variables:
        default = "" if each.default is None else f" = {shown(each.default)}"
        most = f" (≤ {each.max_length})" if each.max_length else ""
        lines.append(f"{{{{{each.name}}}}}: {each.type}{most}{default}")
    return lines


def difference(before: Content, after: Content) -> list[Line] | None:
    """Returns None for versions that are too long to compare."""
    one, other = as_lines(before), as_lines(after)
    if max(len(one), len(other)) > MOST_LINES:
        return None
    opcodes = difflib.SequenceMatcher(None, one, other).get_opcodes()
    lines: list[Line] = []
    for kind, i, j, m, n in opcodes:
        if kind == "equal":
            lines += [Line(" ", text) for text in one[i:j]]
        else:
            lines += [Line("-", text) for text in one[i:j]]
            lines += [Line("+", text) for text in other[m:n]]
    return lines
