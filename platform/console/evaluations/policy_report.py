"""The report of a decision policy as people read it: figures of each side, outcomes, plots."""

from dataclasses import dataclass
from typing import Any

import orjson
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.evaluations.report_lines import Cell
from inference.decisions.evaluation import plots
from inference.models import PolicyEvaluation

NAMES: dict[str, Promise] = {
    "auc": gettext_lazy("AUC"),
    "average_precision": gettext_lazy("Average precision"),
    "recall_at_1_percent": gettext_lazy("Recall at 1 % false alarms"),
    "accuracy": gettext_lazy("Accuracy at the threshold for blocking"),
    "balanced_accuracy": gettext_lazy("Balanced accuracy at that threshold"),
    "brier": gettext_lazy("Brier score"),
    "calibration_error": gettext_lazy("Calibration error (ECE)"),
    "group_precision": gettext_lazy("Precision of the first 100 groups"),
}
SIDES: dict[str, Promise] = {
    "policy": gettext_lazy("Policy"),
    "model": gettext_lazy("Model alone"),
    "tree": gettext_lazy("Tree alone"),
}
OUTCOMES: dict[str, Promise] = {
    "approved": gettext_lazy("Approved"),
    "reviewed": gettext_lazy("Reviewed"),
    "blocked": gettext_lazy("Blocked"),
}
FORMATS = {"json": "application/json", "html": "text/html"}


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of all sides, and that of approving everything."""

    label: str
    lower_is_better: bool
    cells: list[Cell]
    never: str


@dataclass(frozen=True, slots=True)
class PolicyReportPage:
    report: dict[str, Any]
    sides: list[str]
    lines: list[Line]
    outcomes: list[tuple[str, int, int]]  # label, good and bad rows
    costs: list[tuple[str, str]]
    reliability: SafeString
    cost_plot: SafeString

    @classmethod
    def of(cls, report: dict[str, Any]) -> "PolicyReportPage":
        sides = plots.sides_of(report)
        outcomes = report["sides"]["policy"]["outcomes"]
        return cls(
            report,
            [str(SIDES[name]) for name, _side in sides],
            _lines(report),
            [
                (str(label), outcomes[f"{name}_good"], outcomes[f"{name}_bad"])
                for name, label in OUTCOMES.items()
            ],
            _costs(report),
            _plot(plots.reliability(report, _("Reliability of the scores"), _words())),
            _plot(plots.costs(report, _("Cost of a row by threshold"), _words())),
        )


def as_file(evaluation: PolicyEvaluation, form: str) -> bytes:
    assert evaluation.report
    if form == "json":
        return orjson.dumps(evaluation.report, option=orjson.OPT_INDENT_2)
    shown = {"shown": PolicyReportPage.of(evaluation.report), "evaluation": evaluation}
    return render_to_string("console/evaluations/policy_report_file.html", shown).encode()


def file_name(evaluation: PolicyEvaluation, form: str) -> str:
    version = evaluation.version
    return f"policy-{version.policy.name}-{version.number}-{str(evaluation.pk)[:8]}.{form}"


def _lines(report: dict[str, Any]) -> list[Line]:
    sides = [side["figures"] for _name, side in plots.sides_of(report)]
    return [
        Line(
            label=str(label),
            lower_is_better=sides[0][name]["better"] == "lower",
            cells=[_cell(figures[name]) for figures in sides],
            never="–" if sides[0][name]["never"] is None else f"{sides[0][name]['never']:.3f}",
        )
        for name, label in NAMES.items()
        if name in sides[0]
    ]


def _cell(figure: dict[str, Any]) -> Cell:
    return Cell(f"{figure['value']:.3f}", f"{figure['low']:.3f} – {figure['high']:.3f}")


def _costs(report: dict[str, Any]) -> list[tuple[str, str]]:
    sides = [(str(SIDES[name]), f"{side['cost']:.3f}") for name, side in plots.sides_of(report)]
    return [*sides, (_("Approving everything"), f"{report['never']['cost']:.3f}")]


def _words() -> dict[str, str]:
    return {
        **{name: str(words) for name, words in SIDES.items()},
        "score": _("mean score"),
        "rate": _("share of positives"),
        "threshold": _("threshold"),
        "cost": _("cost of a row"),
    }


def _plot(picture: str) -> SafeString:
    return mark_safe(picture)  # noqa: S308 (our own drawing, its texts are escaped)
