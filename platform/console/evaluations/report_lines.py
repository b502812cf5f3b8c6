"""The report of an evaluation as people read it: figures, baselines beside them, a plot."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference.evaluation import plots
from inference.models import Evaluation

NAMES: dict[str, Promise] = {
    "perplexity": gettext_lazy("Perplexity"),
    "bits_per_byte": gettext_lazy("Bits per byte"),
    "next_token_accuracy": gettext_lazy("Next token right"),
    "accuracy": gettext_lazy("Right choices"),
    "accuracy_by_length": gettext_lazy("Right choices, by length"),
    "exact_match": gettext_lazy("Exact matches"),
    "agreement": gettext_lazy("The same answers"),
}
BASELINES: dict[str, Promise] = {
    "chance": gettext_lazy("by chance"),
    "majority": gettext_lazy("always the commonest"),
    "unigram": gettext_lazy("from frequencies alone"),
    "zlib": gettext_lazy("zlib"),
}
_SHARES = ("next_token_accuracy", "accuracy", "accuracy_by_length", "exact_match", "agreement")


@dataclass(frozen=True, slots=True)
class Cell:
    value: str
    interval: str


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of the report."""

    label: str
    lower_is_better: bool
    candidate: Cell
    against: Cell | None
    difference: Cell | None
    baselines: list[tuple[str, str]]
    count: int
    method: str


@dataclass(frozen=True, slots=True)
class ReportPage:
    evaluation: Evaluation
    report: dict[str, Any]
    lines: list[Line]
    agreement: Cell | None
    plot: SafeString

    @classmethod
    def of(cls, evaluation: Evaluation) -> "ReportPage":
        """Returns the page of an evaluation with a report."""
        report = evaluation.report or {}
        same = report.get("agreement")
        plot = plots.bars(report, _("Figures with intervals and baselines"))
        return cls(
            evaluation,
            report,
            [_line(row) for row in report["figures"]],
            _cell("agreement", same) if same else None,
            mark_safe(plot),  # noqa: S308 (our own drawing, its texts are escaped)
        )


def label(name: str) -> str:
    """Returns the words for a figure, with its group if it is of one."""
    figure, _slash, group = name.partition("/")
    words = str(NAMES.get(figure, figure))
    return f"{words}: {group}" if group else words


def shown(name: str, value: float) -> str:
    """Returns a share in percent, and all else with four digits."""
    is_share = name.partition("/")[0] in _SHARES
    return f"{100 * value:.1f} %" if is_share else f"{value:.4g}"


def _line(row: dict[str, Any]) -> Line:
    name = row["name"]
    return Line(
        label=label(name),
        lower_is_better=row["better"] == "lower",
        candidate=_cell(name, row["candidate"]),
        against=_cell(name, row["against"]) if row["against"] else None,
        difference=_difference(row["difference"]) if row["difference"] else None,
        baselines=[
            (str(BASELINES.get(baseline, baseline)), shown(name, value))
            for baseline, value in row["baselines"].items()
        ],
        count=row["candidate"]["n"],
        method=row["candidate"]["method"],
    )


def _cell(name: str, figure: dict[str, Any]) -> Cell:
    low, high = shown(name, figure["low"]), shown(name, figure["high"])
    return Cell(shown(name, figure["value"]), f"{low} – {high}")


def _difference(figure: dict[str, Any]) -> Cell:
    """Returns percent of the other model's figure, or points of percent."""
    unit = "%" if figure["relative"] else _("points")
    value, low, high = (f"{100 * figure[name]:+.1f}" for name in ("value", "low", "high"))
    return Cell(f"{value} {unit}", f"{low} – {high}")
