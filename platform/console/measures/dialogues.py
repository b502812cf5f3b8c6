"""The list of dialogues behind a figure. It has no texts: those are in the inbox."""

from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, QuerySet
from django.http import HttpResponse
from django.shortcuts import render

from console.authorization import TenantRequest, permitted
from console.inbox.lines import short_name
from console.measures.filters import DialogueFilter
from console.paging import page
from inference.dialogues.measures.cohort import OVER, Outcome, outcome_of
from inference.models import Dialogue
from tenants.roles import Permission


@dataclass(frozen=True, slots=True)
class Line:
    dialogue: Dialogue
    name: str
    assistant: str
    outcome: Outcome

    @property
    def label(self) -> str:
        return str(self.outcome.label)


@permitted(Permission.VIEW_ASSISTANTS)
def dialogues(request: TenantRequest) -> HttpResponse:
    form = DialogueFilter(request.GET, request.tenant)
    rows: QuerySet[Dialogue] = Dialogue.objects.none()
    if form.is_valid():
        rows = form.narrowing.of(form.cohort.rows).defer("ciphertext")
    is_over = ExpressionWrapper(OVER, output_field=BooleanField())
    shown = page(rows.annotate(is_over=is_over), "created_at", request.GET.get("cursor", ""))
    names = dict(request.tenant.assistants.values_list("pk", "name"))
    context: dict[str, Any] = {
        "form": form,
        "page": shown,
        "lines": [_line(row, names.get(row.assistant_id, "–")) for row in shown.rows],
        "filtered": bool(request.GET),
    }
    return render(request, "console/service/dialogues.html", context)


def _line(row: Any, assistant: str) -> Line:
    return Line(row, short_name(row), assistant, outcome_of(row, row.is_over))
