"""The page that compares the challenger of an assistant with its live version."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.authorization import TenantRequest, permitted
from inference.dialogues.measures.comparison import (
    BETTER,
    CHANCE,
    FEWEST,
    NAMES,
    TOO_FEW,
    WORSE,
    Comparison,
    Estimate,
    Measure,
    compared,
)
from inference.models import Assistant
from tenants.roles import Permission

_SENTENCES: dict[str, Promise] = {
    CHANCE: gettext_lazy(
        "The difference may be chance: between %(low)s and %(high)s points of resolution, "
        "with no difference among them."
    ),
    BETTER: gettext_lazy(
        "Version %(challenger)d resolves %(points)s points more: more than chance, "
        "between %(low)s and %(high)s."
    ),
    WORSE: gettext_lazy(
        "Version %(challenger)d resolves %(points)s points less: more than chance, "
        "between %(low)s and %(high)s."
    ),
}


@dataclass(frozen=True, slots=True)
class Cell:
    value: str
    interval: str


@dataclass(frozen=True, slots=True)
class Line:
    label: str
    cells: list[Cell]  # of the live version, of the challenger, of their difference
    verdict: str


@permitted(Permission.VIEW_ASSISTANTS)
def comparison(request: TenantRequest, assistant: UUID) -> HttpResponse:
    row: Assistant = get_object_or_404(request.tenant.assistants, pk=assistant)
    result = compared(row)
    shown: dict[str, Any] = {"assistant": row, "comparison": result}
    if result:
        shown |= {"lines": list(lines(result)), "sentence": sentence(result), "fewest": FEWEST}
    return render(request, "console/service/comparison.html", shown)


def sentence(result: Comparison) -> str:
    """Says whether the versions differ in what they resolve by more than chance."""
    measure = result.resolution
    if measure.verdict == TOO_FEW:
        text = _("Too few people yet: each version needs the dialogues of %(fewest)d people.")
        return text % {"fewest": FEWEST}
    difference = measure.difference
    assert difference
    values = {
        "challenger": result.challenger,
        "points": f"{abs(difference.value) * 100:.1f}",
        "low": f"{difference.low * 100:+.1f}",
        "high": f"{difference.high * 100:+.1f}",
    }
    return str(_SENTENCES[measure.verdict]) % values


def lines(result: Comparison) -> Iterator[Line]:
    for measure in result.measures:
        sides = measure.live.estimate, measure.challenger.estimate, measure.difference
        cells = [_cell(measure, each) for each in sides]
        yield Line(str(NAMES[measure.name]), cells, _verdict(measure))


def _verdict(measure: Measure) -> str:
    words = {TOO_FEW: _("too few people"), CHANCE: _("may be chance"), BETTER: _("better")}
    return words.get(measure.verdict, _("worse"))


def _cell(measure: Measure, estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell("–", "")
    low, high = _words(measure, estimate.low), _words(measure, estimate.high)
    return Cell(_words(measure, estimate.value), f"{low} – {high}")


def _words(measure: Measure, value: float) -> str:
    if measure.is_share:
        return f"{value * 100:.1f} %"
    return f"{value:.2f}"
