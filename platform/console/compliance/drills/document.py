"""The report as PDF, in either language. Readers bring the Chinese font, so that none is inside."""

import io
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from console.compliance.drills.report import line
from console.compliance.drills.words import in_language
from console.compliance.signed_report import Report

_CHINESE = "STSong-Light"
_COLUMNS = ("drill", "broken", "rto", "whole", "acknowledged", "lost", "doubled", "books", "result")
_WIDTHS = [62 * mm, 34 * mm, 17 * mm, 20 * mm, 24 * mm, 16 * mm, 18 * mm, 28 * mm, 46 * mm]


def as_pdf(report: Report, language: str) -> bytes:
    code = "zh-hans" if language.startswith("zh") else "en"
    page, style = io.BytesIO(), _style(code)
    document = SimpleDocTemplate(
        page,
        pagesize=landscape(A4),
        title=in_language(code)["title"],
        author="Forebay",
        invariant=True,
    )
    document.build(list(_parts(report, code, style)))
    return page.getvalue()


def _style(code: str) -> ParagraphStyle:
    font = "Helvetica"
    if code != "en":
        pdfmetrics.registerFont(UnicodeCIDFont(_CHINESE))
        font = _CHINESE
    wrap = "CJK" if code != "en" else None
    return ParagraphStyle("text", fontName=font, fontSize=8, leading=11, wordWrap=wrap)


def _parts(report: Report, code: str, style: ParagraphStyle) -> Iterator[Flowable]:
    body, words = report["body"], in_language(code)
    yield Paragraph(escape(words["title"]), style.clone("title", fontSize=17, leading=24))
    yield Paragraph(escape(body["note"][code]), style)
    yield Spacer(1, 4 * mm)
    yield _pairs(_facts(report, words), style)
    yield Spacer(1, 4 * mm)
    yield _table(body, code, words, style)
    yield Spacer(1, 3 * mm)
    yield Paragraph(escape(words["meaning"]), style)
    yield Paragraph(escape(f"{words['verify']} {report['public_key']}"), style)


def _facts(report: Report, words: dict[str, str]) -> list[tuple[str, str]]:
    body = report["body"]
    summary, seconds = body["summary"], ("rto_p50", "rto_max")
    figures = ("drills", "failed", "acknowledged", "lost", "doubled", "out_of_order")
    return [
        (words["installation"], f"{body['installation']} · Forebay {body['version']}"),
        (words["made"], f"{body['made_at']} · {body['made_by']}"),
        (words["topology"], body["topology"]),
        (words["versions"], ", ".join(" ".join(pair) for pair in body["versions"].items())),
        (words["seed"], str(body["seed"])),
        (words["key"], report["key_id"]),
        *((words[name], f"{summary[f'{name}_s']} s") for name in seconds),
        *((words[name], str(summary[name])) for name in figures),
    ]


def _pairs(pairs: list[tuple[str, str]], style: ParagraphStyle) -> Table:
    cells = [[Paragraph(escape(text), style) for text in pair] for pair in pairs]
    return Table(cells, colWidths=[60 * mm, 205 * mm], hAlign="LEFT")


def _table(body: dict[str, Any], code: str, words: dict[str, str], style: ParagraphStyle) -> Table:
    lines = [[words[name] for name in _COLUMNS]]
    lines += [_cells(line(drill, code)) for drill in body["drills"]]
    cells = [[Paragraph(escape(text), style) for text in texts] for texts in lines]
    rules = [
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.HexColor("#dce1e7")),
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#f3f6f9")),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    return Table(cells, colWidths=_WIDTHS, repeatRows=1, hAlign="LEFT", style=TableStyle(rules))


def _cells(drill: dict[str, Any]) -> list[str]:
    return [
        drill["label"],
        drill["broken"],
        f"{drill['rto_s']} s",
        f"{drill['healthy_s']} s",
        str(drill["acknowledged"]),
        str(len(drill["lost"])),
        str(len(drill["doubled"])),
        drill["books"],
        "; ".join([drill["result"], *drill["findings"]]),
    ]
