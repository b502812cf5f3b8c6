"""The report of an evaluation: figures of one model, or of two side by side. It holds no texts."""

from typing import Any

from inference.evaluation.content import SCORED, Content
from inference.evaluation.figures import LOWER, Figure, agreement, figures_of
from inference.evaluation.results import ChoiceResult, SideResults, TextResult
from inference.evaluation.statistics import bootstrap_difference

FORMAT = "forebay-evaluation/1"
SOURCES = {
    "wilson": "Wilson (1927), score interval of a proportion, 95 %",
    "bootstrap": "Efron (1979), percentile bootstrap over items, 95 %",
}
Report = dict[str, Any]


def build(
    about: Report, content: Content, ours: SideResults, theirs: SideResults | None = None
) -> Report:
    """Returns the report. `about` names the evaluation and its task set."""
    rows = _rows(figures_of(content, ours), figures_of(content, theirs) if theirs else [])
    same = agreement(content, ours, theirs) if theirs else None
    return {
        "format": FORMAT,
        **about,
        "items": len(content.test_items),
        "candidate": _side(content, ours),
        "against": _side(content, theirs) if theirs else None,
        "figures": rows,
        "agreement": _plain(same) if same else None,
        "methods": SOURCES,
    }


def _side(content: Content, results: SideResults) -> Report:
    side: Report = {
        "model": results.model,
        "kinds": sorted({engine.partition("/")[0] for engine in results.engines}),
        "engines": results.engines,
        "versions": results.versions,
        "prompt_tokens": results.prompt_tokens,
        "completion_tokens": results.completion_tokens,
    }
    if content.kind in SCORED:
        scored: list[TextResult | ChoiceResult] = [*results.texts, *results.choices]
        side["tokens"] = sum(each.tokens for each in scored)
        side["outside"] = sum(each.outside for each in scored)
    else:
        side["cut"] = sum(answer.is_cut for answer in results.answers)
    return side


def _rows(ours: list[Figure], theirs: list[Figure]) -> list[Report]:
    others = {figure.name: figure for figure in theirs}
    return [_row(figure, others.get(figure.name)) for figure in ours]


def _row(ours: Figure, theirs: Figure | None) -> Report:
    row: Report = {
        "name": ours.name,
        "better": ours.better,
        "baselines": {name: round(value, 6) for name, value in ours.baselines.items()},
        "candidate": _plain(ours),
        "against": _plain(theirs) if theirs else None,
        "difference": _difference(ours, theirs) if theirs else None,
    }
    return row


def _plain(figure: Figure) -> Report:
    low, high = figure.interval
    numbers = {"value": figure.value, "low": low, "high": high}
    rounded = {name: round(number, 6) for name, number in numbers.items()}
    return {**rounded, "n": figure.count, "method": figure.method}


def _difference(ours: Figure, theirs: Figure) -> Report:
    """Returns ours minus theirs, relative to theirs where lower is better (a perplexity)."""
    relative = ours.better == LOWER

    def of(one: float, other: float) -> float:
        one, other = ours.shape(one), theirs.shape(other)
        return (one / other - 1 if other else 0.0) if relative else one - other

    low, high = bootstrap_difference(ours.pairs, theirs.pairs, of)
    value = _change(ours.value, theirs.value, relative=relative)
    rounded = {"value": round(value, 6), "low": round(low, 6), "high": round(high, 6)}
    return {**rounded, "relative": relative, "method": "bootstrap"}


def _change(ours: float, theirs: float, *, relative: bool) -> float:
    if not relative:
        return ours - theirs
    return ours / theirs - 1 if theirs else 0.0


def figure_in(report: Report, name: str) -> Report | None:
    """Returns the row of a figure."""
    rows: list[Report] = report.get("figures", [])
    return next((row for row in rows if row["name"] == name), None)
