"""A conversation as PDF. Readers bring the Chinese font, so that none is inside."""

import io
import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

from django.utils.translation import gettext as _
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer

from inference.chat.collection.markdown import attached, heading
from inference.chat.collection.transcript import Transcript
from inference.chat.problems import ChatRefused

MOST_CHARACTERS = 300_000  # of all texts: setting them keeps a processor busy for seconds
LINES = 40  # of a paragraph: one of many pages is set anew for each page that it fills
_CHINESE = "STSong-Light"
_FENCE = re.compile(r"^```[^\n]*\n(.*?)(?:^```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)


def as_pdf(document: Transcript) -> bytes:
    """Raises ChatRefused for a conversation that is too long."""
    if sum(len(entry.text) for entry in document.messages) > MOST_CHARACTERS:
        raise ChatRefused("too_long_for_pdf")
    pdfmetrics.registerFont(UnicodeCIDFont(_CHINESE))
    page = io.BytesIO()
    title = document.title or _("Untitled chat")
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), 20 * mm)
    template = SimpleDocTemplate(page, pagesize=A4, title=title, author="Forebay", **margins)
    template.build([_text(title, 16), Spacer(1, 4 * mm), *_messages(document)])
    return page.getvalue()


def _messages(document: Transcript) -> Iterator[Flowable]:
    for entry in document.messages:
        yield _text(heading(entry), 8, color="#5f6b7a")
        for line in attached(entry):
            yield _text(line, 8)
        yield from _blocks(entry.text)
        yield Spacer(1, 4 * mm)


def _blocks(text: str) -> Iterator[Flowable]:
    """Yields paragraphs and code; other Markdown stays as it was written."""
    end = 0
    for fence in _FENCE.finditer(text):
        yield from _paragraphs(text[end : fence.start()])
        yield from _code(fence[1])
        end = fence.end()
    yield from _paragraphs(text[end:])


def _paragraphs(text: str) -> Iterator[Flowable]:
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph:
            yield from (_text(part, 10) for part in _parts(paragraph))
            yield Spacer(1, 2 * mm)


def _code(text: str) -> Iterator[Flowable]:
    """Yields code with its indentation; long lines are broken."""
    lines = [line.replace("\t", "    ") for line in text.rstrip("\n").split("\n")]
    indented = "\n".join(re.sub(r"^ +", lambda m: "\xa0" * len(m[0]), line) for line in lines)
    for part in _parts(indented):
        yield _text(part, 8, plain_font="Courier", indent=4 * mm)


def _parts(text: str) -> Iterator[str]:
    lines = text.split("\n")
    return ("\n".join(lines[at : at + LINES]) for at in range(0, len(lines), LINES))


def _text(
    text: str,
    size: int,
    *,
    color: str = "#182433",
    plain_font: str = "Helvetica",
    indent: float = 0,
) -> Paragraph:
    chinese = not _is_latin(text)
    style = ParagraphStyle(
        "text",
        fontName=_CHINESE if chinese else plain_font,
        fontSize=size,
        leading=size * 1.4,
        textColor=color,
        leftIndent=indent,
        wordWrap="CJK" if chinese or plain_font == "Courier" else None,
    )
    plain = text.replace("\xad", "")  # reportlab takes minutes for a word of soft hyphens
    return Paragraph(escape(plain).replace("\n", "<br/>"), style)


def _is_latin(text: str) -> bool:
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True
