"""The picture of a report: a bar for each drill, as long as nobody was answered."""

from html import escape
from typing import Any

from console.compliance.drills.words import in_language

WIDTH, LABELS, ROW = 860, 350, 20
_GOOD, _BAD, _STOPPED = "#2f6fb5", "#d63939", "#8a97a6"
_LEAST_S = 30.0  # the axis is no shorter


def drawn(body: dict[str, Any], language: str) -> str:
    words, drills = in_language(language), body["drills"]
    longest = max([_LEAST_S, *(drill["rto_s"] for drill in drills)])
    scale = (WIDTH - LABELS - 70) / longest
    height = 60 + ROW * len(drills)
    parts = [
        _text(10, 22, words["picture"], "600 15px"),
        *_axis(longest, scale, height),
    ]
    for number, drill in enumerate(drills):
        parts += _bar(drill, 40 + ROW * number, scale, language)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'width="{WIDTH}" height="{height}"><title>{escape(words["picture"])}</title>'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>'
    )


def _axis(longest: float, scale: float, height: int) -> list[str]:
    step = 10 if longest <= 60 else 30
    parts = []
    for second in range(0, int(longest) + 1, step):
        x = LABELS + second * scale
        parts.append(f'<path d="M{x:.1f} 34V{height - 18}" stroke="#dce1e7"/>')
        parts.append(_text(x - 4, height - 5, str(second), "11px"))
    return parts


def _bar(drill: dict[str, Any], y: float, scale: float, language: str) -> list[str]:
    colour = _BAD if not drill["good"] else _STOPPED if drill["stopped_s"] else _GOOD
    length = max(1.0, drill["rto_s"] * scale)
    return [
        _text(10, y + 12, drill["label"][language], "12px"),
        f'<rect x="{LABELS}" y="{y + 2}" width="{length:.1f}" height="{ROW - 7}" fill="{colour}"/>',
        _text(LABELS + length + 6, y + 12, f"{drill['rto_s']:.1f}", "11px"),
    ]


def _text(x: float, y: float, text: str, font: str) -> str:
    style = f"font: {font} system-ui, 'Noto Sans CJK SC', sans-serif"
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{style}" fill="#1d2733">{escape(text)}</text>'
