"""Pages of one version of a data set: report, further pieces, samples, the whole, deletion."""

from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _

from console import downloads
from console.account.reauthentication import recently_proven_by_factor
from console.authorization import TenantRequest, permitted
from console.data_sets import pages, words
from console.data_sets.forms import PieceForm, ReasonForm
from console.data_sets.words import REFUSALS
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.trail.actors import Actors
from inference.data_sets import deleting, reading, uploading
from inference.models import DataSetVersion, Job, ModelVersion
from tenants.roles import Permission

JOBS = 10  # over a version, the latest


@permitted(Permission.VIEW_DATA_SETS)
def version(request: TenantRequest, data_set: UUID, number: int) -> HttpResponse:
    return _page(request, _find(request, data_set, number))


@require_POST
@permitted(Permission.MANAGE_DATA_SETS)
def pieces(request: TenantRequest, data_set: UUID, number: int) -> HttpResponse:
    """Take a further piece of an upload from a script; `piece` is its number."""
    row, form = _find(request, data_set, number), PieceForm(request.POST, request.FILES)
    piece = request.POST.get("piece", "")
    if not (piece.isascii() and piece.isdigit() and len(piece) < 8 and form.is_valid()):
        return HttpResponse(status=400)
    try:
        uploading.add_piece(row, int(piece), form.cleaned_data["file"].read())
    except uploading.WrongPiece:
        return HttpResponse(status=409)
    except tuple(REFUSALS) as problem:
        return HttpResponse(str(REFUSALS[type(problem)]), status=409, content_type="text/plain")
    if form.cleaned_data["is_last"]:
        uploading.finish(row)
    return HttpResponse(status=204)


@require_POST
@permitted(Permission.VIEW_PROMPTS)
@recently_proven_by_factor
def samples(request: TenantRequest, data_set: UUID, number: int) -> HttpResponse:
    row, form = _find(request, data_set, number), ReasonForm(request.POST)
    read = partial(reading.samples, row, by=request.actor)
    chosen = saved(form, lambda: read(reason=form.cleaned_data["reason"]))
    shown = chosen if isinstance(chosen, list) else []
    return _page(request, row, reason_form=form, samples=shown)


@require_POST
@permitted(Permission.VIEW_PROMPTS)
@recently_proven_by_factor
def download(request: TenantRequest, data_set: UUID, number: int) -> HttpResponse:
    row, form = _find(request, data_set, number), ReasonForm(request.POST)
    read = partial(reading.whole, row, by=request.actor)
    lines = saved(form, lambda: read(reason=form.cleaned_data["reason"]))
    if not lines:
        return _page(request, row, reason_form=form)
    name, scope = f"{row.data_set.name}-{row.number}.jsonl", downloads.scope_of(request)
    return downloads.stream(lines, scope, name, "application/x-ndjson")


@require_POST
@permitted(Permission.MANAGE_DATA_SETS)
def deletion(request: TenantRequest, data_set: UUID, number: int) -> HttpResponse:
    row = _find(request, data_set, number)
    text = _("The version %(name)s is gone.") % {"name": row}
    delete = partial(deleting.delete_version, row)
    return report_and_leave(
        request, delete, text, "console:data_set", REFUSALS, data_set=row.data_set_id
    )


def _find(request: TenantRequest, data_set: UUID, number: int) -> DataSetVersion:
    row = pages.find(request, data_set)
    versions = DataSetVersion.objects.present().select_related("data_set", "parent__data_set")
    return get_object_or_404(versions, data_set=row, number=number)


def _page(request: TenantRequest, row: DataSetVersion, **shown: Any) -> HttpResponse:
    left_out = row.report.get("left_out", {})
    listed = row.report.get("problems", [])
    models = ModelVersion.objects.of(request.tenant.id).trained_on([row.pk]).listed()
    context = {
        "version": row,
        "who": Actors.among([row.created_by], request.tenant).name(row.created_by),
        "problem": words.problem(row.problem),
        "left_out": [(words.left_out(code), count) for code, count in left_out.items()],
        "problems": [(one["line"], words.left_out(one["code"])) for one in listed],
        "people": row.people.count(),
        "models": models,
        "jobs": Job.objects.filter(data_set_version_id=row.pk).order_by("-created_at")[:JOBS],
        "maker": row.made_by_job and Job.objects.filter(pk=row.made_by_job).first(),
        "reason_form": ReasonForm(),
        **shown,
    }
    return render(request, "console/data_sets/version.html", context)
