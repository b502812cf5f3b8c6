"""Pages of a tenant's task sets."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.keys.keyring import Unreadable
from console.authorization import TenantRequest, permitted
from console.evaluations.forms import TaskSetForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.models import TaskSet
from tenants.roles import Permission

SHOWN = 5  # items


TASK_SETS = Table(
    "task-sets",
    {
        "name": Column(gettext_lazy("Task set"), "name", "name"),
        "version": Column(gettext_lazy("Version"), "number", "number", numbers=True),
        "kind": Column(gettext_lazy("Kind"), lambda row: row.get_kind_display(), "kind"),
        "items": Column(gettext_lazy("Items asked"), "test_items", "test_items", numbers=True),
        "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
    },
    order="-created",
    search=("name", "sha256"),
)


@permitted(Permission.VIEW_EVALUATIONS)
def task_sets(request: TenantRequest) -> HttpResponse:
    rows = request.tenant.task_sets.defer("ciphertext")
    return TASK_SETS.page(request, rows, "console/evaluations/task_sets.html")


@permitted(Permission.MANAGE_EVALUATIONS)
def addition(request: TenantRequest) -> HttpResponse:
    form = TaskSetForm(request.POST or None)
    if row := saved(form, lambda: form.publish(request.tenant, by=request.actor)):
        return redirect("console:task_set", tenant=request.tenant.name, task_set=row.pk)
    return render(request, "console/evaluations/task_set_addition.html", {"form": form})


@permitted(Permission.VIEW_EVALUATIONS)
def task_set(request: TenantRequest, task_set: UUID) -> HttpResponse:
    row: TaskSet = get_object_or_404(request.tenant.task_sets, pk=task_set)
    try:
        items = row.content.test_items[:SHOWN]
    except Unreadable:
        items = []
    context = {
        "task_set": row,
        "items": items,
        "by": Actors.among([row.created_by], request.tenant).name(row.created_by),
        "evaluations": row.evaluations.newest_first()[:10],
    }
    return render(request, "console/evaluations/task_set.html", context)


@require_POST
@permitted(Permission.MANAGE_EVALUATIONS)
def removal(request: TenantRequest, task_set: UUID) -> HttpResponse:
    row: TaskSet = get_object_or_404(request.tenant.task_sets, pk=task_set)
    text = _("The task set %(name)s is gone. Reports about it stay.") % {"name": row}
    return report_and_leave(request, row.remove, text, "console:task_sets")
