"""Pages of data sets: the list, one of them, uploads, selections and deletion."""

from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.account.reauthentication import recently_proven, recently_proven_by_factor
from console.authorization import TenantRequest, permitted
from console.data_sets.forms import (
    LARGEST_PIECE,
    ConversationUseForm,
    SelectionForm,
    UploadForm,
)
from console.data_sets.words import REFUSALS
from console.forms import NewNameForm
from console.paging import page
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from inference.data_sets import deleting, selecting, storage_limit, uploading
from inference.models import ConversationUse, DataSet, DataSetFormat, DataSetNotice, DataSetVersion
from tenants.roles import Permission

NOTICES = 20


DATA_SETS = Table(
    "data-sets",
    {
        "name": Column(gettext_lazy("Data set"), "name", "name"),
        "version": Column(gettext_lazy("Version"), "latest", "latest", numbers=True),
        "changed": Column(gettext_lazy("Changed"), "changed_at", "changed_at"),
        "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
    },
    order="-created",
    search=("name",),
)


@permitted(Permission.VIEW_DATA_SETS)
def data_sets(request: TenantRequest) -> HttpResponse:
    return _list(request)


@require_POST
@permitted(Permission.MANAGE_DATA_SETS)
def addition(request: TenantRequest) -> HttpResponse:
    if request.member is None:  # an operator who is no member would own it
        raise PermissionDenied(_("Only members of the tenant can do this."))
    form = NewNameForm(request.POST, _present(request))
    owner = request.member.subject_id
    create = partial(DataSet.create, request.tenant, by=request.actor, owner=owner)
    data_set = saved(form, lambda: create(form.cleaned_data["name"]))
    return to_data_set(request, data_set) if data_set else _list(request, form=form)


@require_POST
@permitted(Permission.MANAGE_RETENTION)
@recently_proven
def conversation_use(request: TenantRequest) -> HttpResponse:
    form = ConversationUseForm(request.POST)
    rule = ConversationUse.of(request.tenant)
    if not saved(form, lambda: rule.change(by=request.actor, **form.cleaned_data)):
        return _list(request, use_form=form)
    return redirect("console:data_sets", tenant=request.tenant.name)


@permitted(Permission.VIEW_DATA_SETS)
def data_set(request: TenantRequest, data_set: UUID) -> HttpResponse:
    return _page(request, find(request, data_set))


@require_POST
@permitted(Permission.MANAGE_DATA_SETS)
def upload(request: TenantRequest, data_set: UUID) -> HttpResponse:
    """Begin an upload with its first piece. A script that sends more gets their address."""
    row, form = find(request, data_set), UploadForm(request.POST, request.FILES)
    version = saved(form, lambda: _begin(request, row, form), REFUSALS)
    if not version:
        return _page(request, row, upload_form=form)
    if form.cleaned_data["is_last"]:
        return to_data_set(request, row)
    place = [request.tenant.name, row.pk, version.number]
    return JsonResponse({"pieces": reverse("console:data_set_pieces", args=place)})


@require_POST
@permitted(Permission.VIEW_PROMPTS)
@recently_proven_by_factor
def selection(request: TenantRequest, data_set: UUID) -> HttpResponse:
    row, form = find(request, data_set), SelectionForm(request.POST)
    version = saved(form, lambda: _select(request, row, form), REFUSALS)
    return to_data_set(request, row) if version else _page(request, row, selection_form=form)


@require_POST
@permitted(Permission.MANAGE_DATA_SETS)
def deletion(request: TenantRequest, data_set: UUID) -> HttpResponse:
    row = find(request, data_set)
    text = _("The data set %(name)s is gone.") % {"name": row.name}
    delete = partial(deleting.delete, row)
    return report_and_leave(request, delete, text, "console:data_sets", REFUSALS)


def find(request: TenantRequest, pk: UUID) -> DataSet:
    return get_object_or_404(_present(request), pk=pk)


def _present(request: TenantRequest) -> QuerySet[DataSet]:
    return DataSet.objects.present().filter(tenant=request.tenant)


def to_data_set(request: TenantRequest, data_set: DataSet) -> HttpResponse:
    return redirect("console:data_set", tenant=request.tenant.name, data_set=data_set.pk)


def _begin(request: TenantRequest, row: DataSet, form: UploadForm) -> DataSetVersion:
    fields = form.cleaned_data
    version = uploading.begin(row, DataSetFormat(fields["form"]), by=request.actor)
    uploading.add_piece(version, 0, fields["file"].read())
    if fields["is_last"]:
        uploading.finish(version)
    return version


def _select(request: TenantRequest, row: DataSet, form: SelectionForm) -> DataSetVersion:
    reason = form.cleaned_data["reason"]
    return selecting.select(row, form.selection, by=request.actor, reason=reason)


def _list(request: TenantRequest, **shown: Any) -> HttpResponse:
    rule = ConversationUse.of(request.tenant)
    context = {
        "stored": storage_limit.stored(request.tenant.id),
        "most": settings.DATA_SETS_BYTES,
        "notices": DataSetNotice.objects.filter(tenant=request.tenant).order_by("-pk")[:NOTICES],
        "rule": rule,
        "form": NewNameForm(None, _present(request)),
        "use_form": ConversationUseForm(initial={"allowed": rule.allowed, "reason": rule.reason}),
        **shown,
    }
    return DATA_SETS.page(request, _present(request), "console/data_sets/list.html", **context)


def _page(request: TenantRequest, row: DataSet, **shown: Any) -> HttpResponse:
    versions = DataSetVersion.objects.present().filter(data_set=row)
    latest = page(versions, "created_at", request.GET.get("cursor", ""))
    context = {
        "data_set": row,
        "page": latest,
        "moving": any(version.is_moving for version in latest.rows),
        "rule": ConversationUse.of(request.tenant),
        "piece": LARGEST_PIECE,
        "upload_form": UploadForm(),
        "selection_form": SelectionForm(),
        **shown,
    }
    return render(request, "console/data_sets/data_set.html", context)
