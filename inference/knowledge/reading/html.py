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
    for event, element in etree.iterwalk(page, events=("start", "end", "comment", "pi")):
        tag = element.tag
        if heading is not None and not (event == "end" and element is heading):
            continue  # its text is the title
        if event in ("comment", "pi"):
            pieces.append(element.tail or "")
        elif event == "start" and isinstance(tag, str) and _HEADING.fullmatch(tag):
            yield Section(outline.titles, anchor, _text(pieces))
            outline.enter(int(tag[1]), element.text_content())
            anchor, pieces, heading = _anchor(element), [], element
        elif event == "start":
            pieces += ["\n\n" if tag in _LINES else " " if tag == "td" else "", element.text or ""]
        else:
            heading = None
            pieces += ["\n\n" if tag in _LINES else "", element.tail or ""]
    yield Section(outline.titles, anchor, _text(pieces))


def _parsed(raw: bytes) -> tuple[Any, str]:
    """Returns the page's root, without what is no text, and its title."""
    try:
        page = html.document_fromstring(raw, parser=html.HTMLParser(encoding=_encoding(raw)))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError, LookupError):
        raise UnreadableDocument("html") from None
    title = page.findtext(".//title") or ""
    for element in list(page.iter(*_LEFT_OUT)):
        element.drop_tree()
    return page, title


def _encoding(raw: bytes) -> str | None:
    """Returns UTF-8 where the bytes are that; None leaves it to what the page says."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _anchor(heading: Any) -> str:
    """Returns the id of a heading, of what is in it, or of the section that it begins."""
    within = (each.get("id") or each.get("name") for each in heading.iter())
    parent = heading.getparent()
    above = parent.get("id") if parent is not None and parent.index(heading) == 0 else None
    return next((one for one in within if one), above) or ""


def _text(pieces: list[str]) -> str:
    text = _SPACES.sub(" ", "".join(pieces))
    return _WHITE.sub(lambda run: _between(run[0]), text).strip()


def _between(white: str) -> str:
    """Returns an empty line for white space with several line ends."""
    return "\n\n" if white.count("\n") > 1 else white
