"""Sections of an HTML page: its text, without menus, scripts and forms."""

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree, html

from inference.knowledge.reading.section import Outline, Section
from inference.text_extraction.unreadable import UnreadableDocument

_LEFT_OUT = {"script", "style", "noscript", "template", "nav", "header", "footer", "aside", "form"}
_LEFT_OUT |= {"button", "select", "svg", "iframe", "head"}
_LINES = {"p", "div", "section", "article", "main", "li", "ul", "ol", "dl", "dt", "dd", "table"}
_LINES |= {"tr", "pre", "blockquote", "br", "hr", "figure", "details", "summary"}
_LINES |= {"h1", "h2", "h3", "h4", "h5", "h6"}
_HEADING = re.compile(r"h[1-6]")
_SPACES = re.compile(r"[ \t\f\v\u00a0]+")
_WHITE = re.compile(r"\s+")


def sections(raw: bytes, name: str) -> Iterator[Section]:
    """Yields the sections of a page. Raises UnreadableDocument."""
    page, title = _parsed(raw)
    outline = Outline(title or name)
    anchor, pieces, heading = "", list[str](), None
    for event, element in _walk(page):
        tag = element.tag
        if heading is not None and not (event == "end" and element is heading):
            continue  # its text is the title
        if event in ("comment", "pi"):
            pieces.append(element.tail or "")
        elif event == "start" and isinstance(tag, str) and _HEADING.fullmatch(tag):
            yield Section(outline.titles, anchor, _text(pieces))
            outline.enter(int(tag[1]), _title(element))
            anchor, pieces, heading = _anchor(element), [], element
        elif event == "start":
            pieces += ["\n\n" if tag in _LINES else " " if tag == "td" else "", element.text or ""]
        else:
            heading = None
            pieces += ["\n\n" if tag in _LINES else "", element.tail or ""]
    yield Section(outline.titles, anchor, _text(pieces))


def _parsed(raw: bytes) -> tuple[Any, str]:
    """Returns the page's root, and its title."""
    try:
        page = html.document_fromstring(raw, parser=html.HTMLParser(encoding=_encoding(raw)))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError, LookupError):
        raise UnreadableDocument("html") from None
    return page, page.findtext(".//title") or ""


def _walk(root: Any) -> Iterator[tuple[str, Any]]:
    """Yields the events of what is text. Of what is left out there is the end, behind which text
    may stand: to take it out of the tree would copy that text each time.
    """
    walk = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    for event, element in walk:
        if event == "start" and element.tag in _LEFT_OUT:
            walk.skip_subtree()
        else:
            yield event, element


def _title(heading: Any) -> str:
    pieces = list[str]()
    for event, element in _walk(heading):
        if event == "start":
            pieces.append(element.text or "")
        elif element is not heading:
            pieces.append(element.tail or "")
    return "".join(pieces)


def _encoding(raw: bytes) -> str | None:
    """Returns UTF-8 where the bytes are that; None leaves it to what the page says."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _anchor(heading: Any) -> str:
    """Returns the id of a heading, of what is in it, or of the section that it begins."""
    starts = (element for event, element in _walk(heading) if event == "start")
    within = (each.get("id") or each.get("name") for each in starts)
    parent, before = heading.getparent(), heading.getprevious()
    while before is not None and before.tag in _LEFT_OUT:
        before = before.getprevious()
    above = parent.get("id") if parent is not None and before is None else None
    return next((one for one in within if one), above) or ""


def _text(pieces: list[str]) -> str:
    text = _SPACES.sub(" ", "".join(pieces))
    return _WHITE.sub(lambda run: _between(run[0]), text).strip()


def _between(white: str) -> str:
    """Returns an empty line for white space with several line ends."""
    return "\n\n" if white.count("\n") > 1 else white
