"""Pages of a tenant's evaluations: begin one, its progress and report, two side by side."""

from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.trail.record import act
from console import downloads
from console.authorization import TenantRequest, permitted
from console.evaluations.forms import EvaluationForm
from console.evaluations.report_file import FORMATS, as_file, file_name
from console.evaluations.report_lines import ReportPage
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.intake.access.allowed import models_for
from inference.models import Evaluation
from tenants.roles import Permission

OTHERS = 20  # reports to compare with


EVALUATIONS = Table(
    "evaluations",
    {
        "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
        "model": Column(gettext_lazy("Model"), "model", "model"),
        "task_set": Column(gettext_lazy("Task set"), "task_set.name", "task_set__name"),
        "state": Column(gettext_lazy("State"), lambda row: row.get_state_display(), "state"),
    },
    order="-created",
    search=("model", "task_set__name"),
)


@permitted(Permission.VIEW_EVALUATIONS)
def evaluations(request: TenantRequest) -> HttpResponse:
    rows = request.tenant.evaluations.defer("report")
    if file := EVALUATIONS.file(request, rows):
        return file
    table = EVALUATIONS.shown(request, rows)
    moving = any(not row.is_over for row in table.rows)
    context = {"table": table, "moving": moving}
    return render(request, "console/evaluations/evaluations.html", context)


@permitted(Permission.MANAGE_EVALUATIONS)
def addition(request: TenantRequest) -> HttpResponse:
    member = request.member
    models = models_for(member) if member else []
    form = EvaluationForm(request.POST or None, request.tenant, models)
    if row := saved(form, lambda: _create(request, form)):
        return redirect("console:evaluation", tenant=request.tenant.name, evaluation=row.pk)
    return render(request, "console/evaluations/addition.html", {"form": form})


@permitted(Permission.VIEW_EVALUATIONS)
def evaluation(request: TenantRequest, evaluation: UUID) -> HttpResponse:
    """Show the progress or the report; `?beside=` another report of the same task set."""
    row = _evaluation(request, evaluation)
    beside = request.GET.get("beside")
    other = _other(row, beside) if beside else None
    context = {
        "evaluation": row,
        "by": Actors.among([row.created_by], request.tenant).name(row.created_by),
        "shown": ReportPage.of(row) if row.report else None,
        "other": ReportPage.of(other) if other else None,
        "others": _others(row),
    }
    return render(request, "console/evaluations/evaluation.html", context)


@permitted(Permission.VIEW_EVALUATIONS)
def live(request: TenantRequest, evaluation: UUID) -> HttpResponse:
    row = _evaluation(request, evaluation)
    return render(request, "console/evaluations/_progress.html", {"evaluation": row})


@require_POST
@permitted(Permission.MANAGE_EVALUATIONS)
def cancellation(request: TenantRequest, evaluation: UUID) -> HttpResponse:
    row, text = _evaluation(request, evaluation), _("The evaluation is cancelled.")
    return report_and_leave(request, row.cancel, text, "console:evaluation", evaluation=row.pk)


@require_POST
@permitted(Permission.MANAGE_EVALUATIONS)
def removal(request: TenantRequest, evaluation: UUID) -> HttpResponse:
    row, text = _evaluation(request, evaluation), _("The evaluation is gone.")
    return report_and_leave(request, row.remove, text, "console:evaluations")


@require_POST
@permitted(Permission.VIEW_EVALUATIONS)
def file(request: TenantRequest, evaluation: UUID) -> HttpResponse:
    row, form = _evaluation(request, evaluation), request.POST.get("form", "html")
    if row.report is None or form not in FORMATS:
        raise Http404
    name = file_name(row, form)
    detail = {"evaluation": str(row.pk), "file": name}
    act(Action.EVALUATION_EXPORT, actor=request.actor, tenant_id=row.tenant_id, detail=detail)
    return downloads.file(as_file(row, form), name, FORMATS[form])


def _create(request: TenantRequest, form: EvaluationForm) -> Evaluation:
    fields = form.cleaned_data
    assert request.member
    names = fields["task_set"], fields["model"], fields["against"]
    return Evaluation.create(*names, by=request.actor, caller=request.member)


def _evaluation(request: TenantRequest, evaluation: UUID) -> Evaluation:
    return get_object_or_404(request.tenant.evaluations, pk=evaluation)


def _others(row: Evaluation) -> list[Evaluation]:
    """Returns other reports of the same tasks, which alone can be compared."""
    rows = row.tenant.evaluations.filter(sha256=row.sha256, report__isnull=False)
    return list(rows.exclude(pk=row.pk).newest_first().defer("report")[:OTHERS])


def _other(row: Evaluation, named: str) -> Evaluation:
    """Raises Http404."""
    try:
        pk = UUID(named)
    except ValueError:
        raise Http404 from None
    rows = row.tenant.evaluations.filter(sha256=row.sha256, report__isnull=False)
    return get_object_or_404(rows, pk=pk)
