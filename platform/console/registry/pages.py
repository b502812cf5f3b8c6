"""Pages of versions of models: the list, one version with its lineage, import, deletion.

Operators see those of all tenants, import the platform's, and promote.
"""

from functools import partial
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.retention.legal_hold import OnHold
from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.post_only import require_POST
from console.registry import uploads
from console.registry.forms import LARGEST_PIECE, ImportForm, PromotionForm
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from inference.model_registry import deleting
from inference.model_registry import importing as imports
from inference.model_registry.promoting import promote
from inference.models import (
    DataSetVersion,
    Engine,
    Job,
    ModelVersion,
    Replacement,
    VersionState,
)
from inference.models.model_version import ModelVersionQuerySet
from tenants.roles import Permission

_REFUSALS = {OnHold: gettext_lazy("A legal hold of the whole tenant keeps it.")}
_MOST_SHOWN = 100  # versions of a lineage, replacements


VERSIONS = Table(
    "model-versions",
    {
        "version": Column(gettext_lazy("Version"), str, "name"),
        "owner": Column(
            gettext_lazy("Owner"), lambda row: row.tenant.name if row.tenant else "", "tenant__name"
        ),
        "kind": Column(gettext_lazy("Kind"), lambda row: row.get_kind_display(), "kind"),
        "format": Column(gettext_lazy("Format"), lambda row: row.get_format_display(), "format"),
        "size": Column(gettext_lazy("Size"), "size", "size", numbers=True),
        "licence": Column(gettext_lazy("Licence"), "licence", "licence"),
        "state": Column(gettext_lazy("State"), lambda row: row.get_state_display(), "state"),
        "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
    },
    order="-created",
    search=("name", "licence", "architecture"),
)


# A tenant's --------------------------------------------------------------------------------------
@permitted(Permission.VIEW_MODELS)
def versions(request: TenantRequest) -> HttpResponse:
    return _list(request, _visible(request.tenant.pk))


@permitted(Permission.VIEW_MODELS)
def version(request: TenantRequest, model_version: UUID) -> HttpResponse:
    row = get_object_or_404(_visible(request.tenant.pk), pk=model_version)
    may = Permission.MANAGE_MODELS in request.permissions and row.tenant_id is not None
    return _page(request, row, {"may_delete": may})


@permitted(Permission.MANAGE_MODELS)
def importing(request: TenantRequest) -> HttpResponse:
    return _import_page(request, request.tenant.pk)


@require_POST
@permitted(Permission.MANAGE_MODELS)
def removal(request: TenantRequest, model_version: UUID) -> HttpResponse:
    own = ModelVersion.objects.of(request.tenant.pk).listed()
    row = get_object_or_404(own, pk=model_version)
    return _removed(request, row, "console:model_versions")


def _visible(tenant_id: UUID | None) -> ModelVersionQuerySet:
    """Returns the owner's versions, and of the platform's those that are ready."""
    own = ModelVersion.objects.of(tenant_id).listed()
    return own | ModelVersion.objects.of(None).listed().ready() if tenant_id else own


# Operators' --------------------------------------------------------------------------------------
@operators_only
def all_versions(request: ConsoleRequest) -> HttpResponse:
    return _list(request, ModelVersion.objects.listed())


@operators_only
def any_version(request: ConsoleRequest, model_version: UUID) -> HttpResponse:
    return _any_page(request, _any(model_version), PromotionForm())


@operators_only
@recently_proven
def all_importing(request: ConsoleRequest) -> HttpResponse:
    return _import_page(request, None)


@require_POST
@operators_only
@recently_proven
def any_removal(request: ConsoleRequest, model_version: UUID) -> HttpResponse:
    return _removed(request, _any(model_version), "console:all_model_versions")


@require_POST
@operators_only
@recently_proven
def promotion(request: ConsoleRequest, model_version: UUID) -> HttpResponse:
    row, form = _any(model_version), PromotionForm(request.POST)
    if replacement := saved(form, lambda: _promoted(request, row, form)):
        return redirect("console:replacement", replacement=replacement.pk)
    return _any_page(request, row, form)


def _promoted(request: ConsoleRequest, row: ModelVersion, form: PromotionForm) -> Replacement:
    rows = Engine.objects.select_related("pool__model")
    locked = rows.select_for_update(of=("self",), no_key=True)
    engine: Engine = get_object_or_404(locked, pk=form.cleaned_data["engine"].pk)
    keeps_old = form.cleaned_data["keeps_old"]
    return promote(row, engine, by=request.actor, changes=form.changes, keeps_old=keeps_old)


def _any(model_version: UUID) -> ModelVersion:
    rows = ModelVersion.objects.listed().select_related("tenant")
    return get_object_or_404(rows, pk=model_version)


def _any_page(request: ConsoleRequest, row: ModelVersion, form: PromotionForm) -> HttpResponse:
    switches = Replacement.objects.filter(new__model_version_id=row.pk)[:_MOST_SHOWN]
    more = {"promotion": form, "switches": switches, "may_delete": True}
    return _page(request, row, {**more, "engines": row.engine_names})


# Both --------------------------------------------------------------------------------------------
def _list(request: ConsoleRequest, rows: QuerySet[ModelVersion]) -> HttpResponse:
    rows = rows.select_related("tenant")
    if file := VERSIONS.file(request, rows):
        return file
    table = VERSIONS.shown(request, rows)
    moving = any(row.state == VersionState.IMPORTING for row in table.rows)
    return render(request, "console/registry/versions.html", {"table": table, "moving": moving})


def _page(request: ConsoleRequest, row: ModelVersion, more: dict[str, Any]) -> HttpResponse:
    visible = _visible(request.tenant.pk) if request.tenant else ModelVersion.objects.listed()
    context = {
        "version": row,
        "moving": row.state == VersionState.IMPORTING,
        "parents": visible.filter(pk__in=row.parents.all())[:_MOST_SHOWN],
        "children": visible.filter(pk__in=row.children.all())[:_MOST_SHOWN],
        "data_sets": _data_sets(row),
        "job": _job(request, row),
        "files": row.files.all(),
        "source": row.source if row.tenant_id or not request.tenant else {},
    }
    return render(request, "console/registry/version.html", {**context, **more})


def _data_sets(row: ModelVersion) -> list[tuple[UUID, DataSetVersion | None]]:
    """Returns ids of versions of data sets that it was trained on, with those that are there."""
    ids = list(row.data_set_links.values_list("data_set_version_id", flat=True)[:_MOST_SHOWN])
    versions = DataSetVersion.objects.present().filter(pk__in=ids, data_set__deleted_at=None)
    present = {version.pk: version for version in versions.select_related("data_set")}
    return [(pk, present.get(pk)) for pk in ids]


def _job(request: ConsoleRequest, row: ModelVersion) -> Job | None:
    """Returns the tenant's job that made it."""
    if request.tenant is None or row.made_by_job is None:
        return None
    return Job.objects.filter(tenant=request.tenant, pk=row.made_by_job).first()


def _import_page(request: ConsoleRequest, tenant_id: UUID | None) -> HttpResponse:
    sent = request.method == "POST"
    data, files = (request.POST, request.FILES) if sent else (None, None)
    form = ImportForm(data, files, _visible(tenant_id).ready(), folders=tenant_id is None)

    def begin() -> ModelVersion:
        fields = {**form.values, "source": form.source(_uploaded(request, form))}
        return imports.begin(tenant_id=tenant_id, by=request.actor, **fields)

    if row := saved(form, begin):
        return _to_page(request, row)
    return render(request, "console/registry/import.html", {"form": form, "piece": LARGEST_PIECE})


def _uploaded(request: ConsoleRequest, form: ImportForm) -> tuple[str, ...]:
    """Returns the upload that the form names, or stores its small file. Raises ValidationError."""
    fields, person = form.cleaned_data, cast(TenantRequest, request)
    if fields["type"] != "files":
        return ()
    if fields["upload"]:
        return (str(uploads.own_upload(person, fields["upload"]).pk),)
    file = fields["file"]
    return (str(uploads.uploaded(person, file.name, file.read()).pk),)


def _to_page(request: ConsoleRequest, row: ModelVersion) -> HttpResponse:
    if tenant := request.tenant:
        return redirect("console:model_version", tenant=tenant.name, model_version=row.pk)
    return redirect("console:any_model_version", model_version=row.pk)


def _removed(request: ConsoleRequest, row: ModelVersion, target: str) -> HttpResponse:
    text = _("The version %(name)s is deleted.") % {"name": str(row)}
    return report_and_leave(request, partial(deleting.delete, row), text, target, _REFUSALS)
