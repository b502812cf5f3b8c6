"""Writes static/vendor/tabler-1.6.1/tabler.css: the rules of Tabler that our pages can use.

    python -m deploy.tabler.trim

A selector stays if every class in it can be named by a template, a script or a form's Python, or
is one that Tabler's own script sets. A custom property stays if something that stays reads it. The
same sources always give the same file; tests/deploy/test_tabler.py compares them.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("tabler-1.6.1.min.css")
TARGET = PROJECT / "static" / "vendor" / "tabler-1.6.1" / "tabler.css"
# The folder of sources, their names, and what of them can name classes.
PLACES = (
    ("templates", "*.html", r'class="([^"]*)"|\{% (?:icon|include)\b([^%]*)%\}'),
    ("templates", "*.html", r"\{% block \w+ %\}([^<{]*)\{% endblock"),
    ("static/chat", "*.js", r"""(["'`][^"'`]*["'`])"""),
    ("static/console", "*.js", r"""(["'`][^"'`]*["'`])"""),
    ("platform/console", "*.py", r'"class": "([^"]*)"'),
    ("platform/console", "forms.py", r'"([^"]*)"'),
    ("platform/console/templatetags", "*.py", r'"([^"]*)"'),
)
# Set by Tabler's script (Bootstrap's), or put together from parts.
ALSO = """
    collapsing dropdown-menu-end fade hiding modal-backdrop modal-open modal-static
    offcanvas-backdrop show showing tooltip tooltip-arrow tooltip-inner bs-tooltip-auto col-xl-2
    alert-danger alert-info alert-success alert-warning
    bg-azure bg-blue bg-green bg-red bg-secondary bg-yellow
    bg-azure-lt bg-blue-lt bg-green-lt bg-red-lt bg-secondary-lt bg-yellow-lt
"""
_GROUPS = ("@media", "@supports", "@layer", "@container")
_WORD = re.compile(r"[A-Za-z][\w-]*")
_CLASS = re.compile(r"\.((?:\\.|[\w-])+)")
_READ = re.compile(r"var\((--[\w-]+)")
_PROPERTY = re.compile(r"(--[\w-]+):")


def words() -> frozenset[str]:
    """Returns the words of the sources that can be names of classes."""
    parts = (
        "".join(match)
        for folder, kind, naming in PLACES
        for path in _files(folder, kind)
        for match in re.findall(naming, path.read_text())
    )
    return frozenset(word for part in parts for word in _WORD.findall(part)) | {*ALSO.split()}


def tones() -> set[str]:
    """Returns the names of colours that charts draw lines in: scripts put `--tblr-` before them."""
    pages = "".join(each.read_text() for each in _files("templates", "*.html"))
    return {
        tone
        for lines in re.findall(r'data-lines="([^"]*)"', pages)
        for tone in re.findall(r":(\w+)", lines)
    }


def _files(folder: str, kind: str) -> list[Path]:
    return sorted((PROJECT / folder).rglob(kind))


def rules(css: str) -> Iterator[tuple[str, str]]:
    """Yields each rule of minified CSS: what stands before its braces, and what within."""
    position = 0
    while position < len(css):
        opening = css.find("{", position)
        if opening < 0:
            return
        closing = _closing(css, opening)
        yield css[position:opening].rpartition(";")[2].strip(), css[opening + 1 : closing]
        position = closing + 1


def _closing(css: str, opening: int) -> int:
    """Returns the place of the brace that closes this one. Braces in strings do not count."""
    depth = 0
    for match in re.compile(r"\"(?:\\.|[^\"])*\"|'(?:\\.|[^'])*'|[{}]").finditer(css, opening):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    raise ValueError("a brace is not closed")


def used(css: str, known: frozenset[str]) -> Iterator[str]:
    """Yields the rules that can apply, without the selectors that cannot."""
    for head, body in rules(css):
        if head.startswith(_GROUPS):
            if inner := "".join(used(body, known)):
                yield f"{head}{{{inner}}}"
        elif head.startswith("@"):
            yield f"{head}{{{body}}}"
        elif selectors := [one for one in _selectors(head) if _can_apply(one, known)]:
            yield f"{','.join(selectors)}{{{body}}}"


def _selectors(head: str) -> Iterator[str]:
    """Yields the selectors of a list. Commas within brackets do not part them."""
    depth, start = 0, 0
    for place, sign in enumerate(head):
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 0:
            yield head[start:place]
            start = place + 1
    yield head[start:]


def _can_apply(selector: str, known: frozenset[str]) -> bool:
    """Returns whether all its classes are known; one that must not be there need not be."""
    bare = re.sub(r":(?:not|is|where|has)\([^()]*\)", "", selector)
    return all(re.sub(r"\\", "", name) in known for name in _CLASS.findall(bare))


def without_unread(css: str, readers: Iterable[str]) -> str:
    """Returns the CSS without custom properties and key frames that nothing reads."""
    outside = "\n".join(readers)
    while True:
        read = set(_READ.findall(css + outside)) | set(re.findall(r"--tblr-[\w-]+", outside))
        fewer = _stripped(css, read)
        if fewer == css:
            return css
        css = fewer


def _stripped(css: str, read: set[str]) -> str:
    parts = []
    animated = set(re.findall(r"animation(?:-name)?:([^;}]*)", css))
    for head, body in rules(css):
        if head.startswith(_GROUPS):
            body = _stripped(body, read)
        elif head.startswith("@keyframes"):
            name = head.split()[1]
            body = body if any(name in one for one in animated) else ""
        elif not head.startswith("@"):
            body = ";".join(one for one in _declarations(body) if _is_read(one, read))
        if body:
            parts.append(f"{head}{{{body}}}")
    return "".join(parts)


def _declarations(body: str) -> Iterator[str]:
    """Yields declarations. Semicolons in strings and addresses do not part them."""
    yield from re.findall(
        r"(?:\"(?:\\.|[^\"])*\"|'(?:\\.|[^'])*'|\([^()]*(?:\([^()]*\)[^()]*)*\)|[^;])+", body
    )


def _is_read(declaration: str, read: set[str]) -> bool:
    match = _PROPERTY.match(declaration)
    return match is None or match[1] in read


def trimmed() -> str:
    own = [path.read_text() for path in _files("static", "*.css") if path != TARGET]
    own += [path.read_text() for path in _files("static", "*.js") if "vendor" not in path.parts]
    own += [f"--tblr-{tone}" for tone in tones()]
    css = re.sub(r"/\*(?!!).*?\*/", "", SOURCE.read_text(), flags=re.DOTALL)
    notice = re.match(r"(?:@charset[^;]*;)?\s*(/\*!.*?\*/)", css, flags=re.DOTALL)
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    rules = without_unread("".join(used(css, words())), own)
    return f'@charset "UTF-8";\n{notice[1] if notice else ""}\n{rules}\n'


if __name__ == "__main__":
    TARGET.write_text(trimmed())
