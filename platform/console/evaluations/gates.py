"""The page of a pool's gates, for operators."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.evaluations.forms import GateForm
from console.evaluations.report_lines import label
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from inference.models import EvaluationGate, Pool


@operators_only
@recently_proven
def gates(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    row = get_object_or_404(Pool.objects.select_related("model"), pk=pool)
    form = GateForm(request.POST if request.method == "POST" else None)
    if saved(form, lambda: form.add(row, by=request.actor)):
        messages.success(request, _("The gate holds for the next new version."))
        return redirect("console:gates", pool=pool)
    lines = [(gate, label(gate.metric)) for gate in row.gates.all()]
    return render(
        request, "console/evaluations/gates.html", {"pool": row, "lines": lines, "form": form}
    )


@require_POST
@operators_only
def removal(request: ConsoleRequest, pool: UUID, gate: UUID) -> HttpResponse:
    row = get_object_or_404(EvaluationGate.objects.select_related("pool"), pk=gate, pool_id=pool)
    text = _("The gate is gone.")
    return report_and_leave(request, row.remove, text, "console:gates", pool=pool)
