"""Pages of a tenant's jobs: the list, one job and its curves; pause, resume, cancel.

Operators see those of all tenants, without names of models and data, and act on them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.authorization import ConsoleRequest, TenantRequest, View, operators_only, permitted
from console.jobs import curves as curve_points
from console.jobs.creation import gpu_quotas
from console.jobs.forms import AnyJobFilter, JobFilter
from console.jobs.particulars import Particulars
from console.post_only import require_POST
from console.reported_acts import report_and_leave
from console.tables import Column, Table
from inference.jobs.job_checkpoint_versions import NoFiles, NoWeights, register_checkpoint
from inference.model_registry.headers.header import BadFile
from inference.model_registry.room import RegistryFull
from inference.models import Job, JobCheckpoint
from inference.models.job import JobQuerySet, TooManyUnderWay, WrongState
from infrastructure.objects.place import StoreError
from tenants.roles import Permission

_TOO_LATE: dict[type[Exception], Promise] = {
    TooManyUnderWay: _("As many jobs of the tenant are under way as may be: wait for one to end."),
    WrongState: _("The job is in another state by now: look at it again."),
}
_NO_VERSION: dict[type[Exception], Promise] = {
    NoFiles: _("The checkpoint has no files any more."),
    NoWeights: _("The checkpoint has no weights that serve."),
    FileNotFoundError: _("The checkpoint has no files any more."),
    BadFile: _("The files of the checkpoint cannot be registered."),
    RegistryFull: _("There is no room for it: delete versions that nobody needs."),
    StoreError: _("The store of files cannot be reached. Try again in a moment."),
}


_JOB = Column(_("Job"), lambda row: row.get_kind_display(), "kind")
_STATE = Column(_("State"), lambda row: row.get_state_display(), "state")
_PROGRESS = Column(_("Progress"))
_TIME_LEFT = Column(_("Time left"), numbers=True)
_GPU_TIME = Column(_("GPU time"), numbers=True)
_CREATED = Column(_("Created"), "created_at", "created_at")
JOBS = Table(
    "jobs",
    {
        "job": _JOB,
        "state": _STATE,
        "progress": _PROGRESS,
        "left": _TIME_LEFT,
        "gpu": _GPU_TIME,
        "created": _CREATED,
    },
    order="-created",
)
ALL_JOBS = Table(
    "all-jobs",
    {
        "created": _CREATED,
        "tenant": Column(_("Tenant"), "tenant.name", "tenant__name"),
        "job": _JOB,
        "state": _STATE,
        "progress": _PROGRESS,
        "left": _TIME_LEFT,
        "gpu": _GPU_TIME,
    },
    order="-created",
)


@permitted(Permission.VIEW_REQUESTS)
def jobs(request: TenantRequest) -> HttpResponse:
    form, rows = JobFilter(request.GET), _rows(request)
    if file := JOBS.file(request, form.of(rows)):
        return file
    shown = JOBS.shown(request, form.of(rows))
    context = {
        "form": form,
        "page": shown,
        "table": shown,
        "filtered": form.is_set,
        "moving": any(not job.is_over for job in shown.rows),
        "under_way": rows.under_way().count(),
        "most": settings.JOBS_UNDER_WAY,
    }
    return render(request, "console/jobs/list.html", context)


@operators_only
def all_jobs(request: ConsoleRequest) -> HttpResponse:
    form = AnyJobFilter(request.GET)
    rows = form.of(Job.objects.select_related("tenant"))
    if file := ALL_JOBS.file(request, rows):
        return file
    shown = ALL_JOBS.shown(request, rows)
    moving = any(not job.is_over for job in shown.rows)
    context = {"form": form, "page": shown, "table": shown, "filtered": form.is_set}
    context["moving"] = moving
    return render(request, "console/jobs/all.html", context)


@permitted(Permission.VIEW_REQUESTS)
def job(request: TenantRequest, job: UUID) -> HttpResponse:
    row = _job(request, job)
    about = Particulars(row, request.tenant)
    context = {"job": row, "about": about, "quotas": gpu_quotas(request.tenant)}
    return render(request, "console/jobs/job.html", context)


@permitted(Permission.VIEW_REQUESTS)
def curves(request: TenantRequest, job: UUID) -> HttpResponse:
    """Return the points of the curves after `?after=`, for the script that draws them."""
    after = request.GET.get("after", "0")
    number = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
    return JsonResponse(curve_points.columns(_job(request, job), number))


@require_POST
@permitted(Permission.MANAGE_KEYS)
def registration(request: TenantRequest, job: UUID, checkpoint: UUID) -> HttpResponse:
    """Make a version of a checkpoint's adapter, or of its model."""
    row = _job(request, job)
    rows = JobCheckpoint.objects.select_related("job")
    chosen = get_object_or_404(rows, job=row, pk=checkpoint)
    text = _("The checkpoint is a version of the registry now, as soon as its files are copied.")
    register = partial(register_checkpoint, chosen)
    return report_and_leave(request, register, text, "console:job", _NO_VERSION, job=row.pk)


def _rows(request: TenantRequest) -> JobQuerySet:
    return Job.objects.filter(tenant=request.tenant)


def _job(request: TenantRequest, pk: UUID) -> Job:
    return get_object_or_404(_rows(request), pk=pk)


def _act_pages(act: Callable[..., Any], text: Promise) -> tuple[View, View]:
    """Return the pages of an act on a job of one's tenant, and of any tenant for operators."""

    @require_POST
    @permitted(Permission.MANAGE_KEYS)
    def of_tenant(request: TenantRequest, job: UUID) -> HttpResponse:
        row = _job(request, job)
        return report_and_leave(
            request, partial(act, row), text, "console:job", _TOO_LATE, job=row.pk
        )

    @require_POST
    @operators_only
    def of_any(request: ConsoleRequest, any_job: UUID) -> HttpResponse:
        row = get_object_or_404(Job, pk=any_job)
        return report_and_leave(request, partial(act, row), text, "console:all_jobs", _TOO_LATE)

    return of_tenant, of_any


pause, any_pause = _act_pages(Job.pause, _("The job pauses after its present step."))
resume, any_resume = _act_pages(Job.resume, _("The job goes on from its last checkpoint."))
cancel, any_cancel = _act_pages(Job.cancel, _("The job is cancelled."))
