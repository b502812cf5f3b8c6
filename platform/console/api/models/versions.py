"""Versions of models: list, import, download, delete; operators promote them."""

from itertools import chain
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from rest_framework.response import Response

from audit.actions import Action
from audit.retention.legal_hold import OnHold
from console import downloads
from console.api.acts import Act, Who, listing, showing
from console.api.models.shapes import (
    AnyModelVersionShape,
    AnyVersionFilter,
    ModelFiles,
    ModelFileShape,
    ModelVersionShape,
    NewVersionOfModel,
    Promotion,
    VersionFilter,
)
from console.api.own_files import own_file
from console.api.problem import Problem, bad_request, first_or_404, not_found
from console.api.resource import Resource
from console.api.serving.engines import refuse_hosting_by_key
from console.api.serving.replacements import ReplacementShape
from inference.model_registry import deleting, importing, manifest
from inference.model_registry.gates import GateRefused
from inference.model_registry.promoting import promote
from inference.model_registry.source import Source
from inference.model_registry.storage import store
from inference.models import Engine, FilePurpose, ModelFile, ModelVersion, VersionKind, VersionState
from infrastructure.objects.place import StoreError
from tenants.operator_scopes import OperatorScope as Scope
from tenants.roles import Permission as P

_SWITCH_OPTIONS = ("warm_ups", "load_within_s", "keeps_old", "may_take_less")
_READ, _WRITE = Scope.ENGINES_READ, Scope.ENGINES_WRITE
_MEDIA = "application/octet-stream"
_ON_HOLD = _("A legal hold of the whole tenant keeps it.")


class ModelVersions(Resource):
    """Serves a tenant's versions and, to read, those of the platform."""

    shape = ModelVersionShape
    volatile: ClassVar[tuple[str, ...]] = (
        *("state", "problem", "size", "format"),
        *("dtype", "architecture", "parameters"),
    )
    refusals = {OnHold: (409, "on_hold", _ON_HOLD)}

    def rows(self) -> QuerySet[ModelVersion]:
        own = ModelVersion.objects.of(self.owner_id).listed()
        visible = own
        if self.action in ("list", "retrieve") and self.owner_id:
            visible = own | ModelVersion.objects.of(None).listed().ready()
        return visible.select_related("tenant").prefetch_related("parent_links", "data_set_links")

    @property
    def owner_id(self) -> UUID | None:
        return self.url_tenant.pk

    list = listing(
        P.VIEW_MODELS, "List a tenant's versions of models, and the platform's.", asks=VersionFilter
    )
    retrieve = showing(P.VIEW_MODELS, "Show a version of a model: what it is, and its lineage.")

    @Act(P.MANAGE_MODELS, takes=NewVersionOfModel)
    def create(self, request: Any, **path: Any) -> Response:
        """Import a version of a model.

        A job gets the files and checks them: poll until its state is `ready` or `failed`.
        """
        return self.import_version()

    def import_version(self) -> Response:
        fields = self.body()
        source, kind = self._source(dict(fields.pop("source"))), VersionKind(fields.pop("kind"))
        version = importing.begin(
            tenant_id=self.owner_id, kind=kind, source=source, by=self.actor, **fields
        )
        return self.respond(version, 201)

    def _source(self, fields: dict[str, Any]) -> Source:
        """Returns the source, whose files are the caller's own. Raises Problem."""
        names = fields.pop("files", []) if self.owner_id else []
        files = [own_file(self, "source", name) for name in names]
        if any(file.purpose != FilePurpose.MODEL for file in files):
            raise bad_request({"source": [_("The purpose of the files must be model.")]})
        return Source(**fields, files=tuple(str(file.pk) for file in files))

    @Act(P.MANAGE_MODELS)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Delete a version with its files. Its name and lineage stay.

        It is refused while an engine or an adapter uses the version.
        """
        return self.delete_version()

    def delete_version(self) -> Response:
        deleting.delete(self.row_to_change(), by=self.actor)
        return Response(status=204)

    @Act(P.MANAGE_MODELS, gives=ModelFiles)
    def files(self, request: Any, **path: Any) -> Response:
        """List the files of a version, with the platform's signature."""
        return self.list_files()

    def list_files(self) -> Response:
        version = self._ready()
        files = list(version.files.all())
        body = {
            "files": ModelFileShape(files, many=True).data,
            "manifest": manifest.manifest(version, files),
            "signature": bytes(version.signature).hex(),
        }
        return Response(body)

    @Act(P.MANAGE_MODELS, files=(_MEDIA,))
    def file(self, request: Any, **path: Any) -> HttpResponseBase:
        """Download a file of a version, with `Range: bytes=N-` from a byte on.

        This is on record.
        """
        return self.send_file()

    def send_file(self) -> HttpResponseBase:
        number = self.kwargs.pop("model_file")  # the path names the version before it
        version = self._ready()
        file = first_or_404(version.files.filter(pk=number))
        start = _start(self.request.headers.get("Range", ""), file.size)
        version.record(Action.MODEL_VERSION_READ, self.actor, file=file.name, start=start)
        return _sent(version, file, start, self.scope)

    def _ready(self) -> ModelVersion:
        version: ModelVersion = self.row()
        if version.state != VersionState.READY:
            raise not_found()
        return version


class AllModelVersions(ModelVersions):
    """Serves the versions of all tenants and of the platform to operators."""

    shape = AnyModelVersionShape
    volatile = (*ModelVersions.volatile, "served_by")

    @property
    def owner_id(self) -> UUID | None:
        return None

    def rows(self) -> QuerySet[ModelVersion]:
        """Returns all; to a key that may not see which tenants there are, the platform's."""
        rows, key = ModelVersion.objects.listed().select_related("tenant"), self.who.operator_key
        if key and Scope.LIMITS_READ not in key.scopes:
            rows = rows.filter(tenant=None)
        return rows.prefetch_related("parent_links", "data_set_links")

    list = listing(
        Who.OPERATOR,
        "List the versions of models of all tenants and of the platform.",
        _READ,
        asks=AnyVersionFilter,
    )
    retrieve = showing(Who.OPERATOR, "Show a version of a model of any tenant.", _READ)

    @Act(Who.OPERATOR, (_WRITE,), takes=NewVersionOfModel)
    def create(self, request: Any, **path: Any) -> Response:
        """Import a version of the platform, which every tenant sees."""
        return self.import_version()

    @Act(Who.OPERATOR, (_WRITE,))
    def destroy(self, request: Any, **path: Any) -> Response:
        """Delete a version of any tenant or of the platform, with its files."""
        return self.delete_version()

    @Act(Who.OPERATOR, (_READ,), gives=ModelFiles)
    def files(self, request: Any, **path: Any) -> Response:
        """List the files of a version of any tenant, with the platform's signature."""
        return self.list_files()

    @Act(Who.OPERATOR, (_READ,), files=(_MEDIA,))
    def file(self, request: Any, **path: Any) -> HttpResponseBase:
        """Download a file of a version, such as to a machine with an engine.

        This is on record, in the trail of the version's tenant.
        """
        return self.send_file()

    @Act(Who.OPERATOR, (_WRITE,), takes=Promotion, gives=ReplacementShape, creates=True)
    def promote(self, request: Any, **path: Any) -> Response:
        """Switch an engine to a version, once its gates let it pass.

        The version is loaded beside the old one and warmed up; then it serves. The answer is the
        replacement, which can be cancelled, and rolled back. Without a url, Forebay starts the
        server, as it has started the old one's.
        """
        fields, version = self.body(), self.row()
        rows = Engine.objects.select_related("pool__model")
        rows = rows.select_for_update(of=("self",), no_key=True)
        engine = self.named(rows, "engine", _("There is no such engine."), pk=fields.pop("engine"))
        options = {name: fields.pop(name) for name in _SWITCH_OPTIONS if name in fields}
        refuse_hosting_by_key(self.who, engine, fields)
        try:
            replacement = promote(version, engine, by=self.actor, changes=fields, **options)
        except GateRefused as refusal:
            self.refusal = refusal
            text = _("A gate of the pool refuses this version.")
            raise Problem(409, "gate_refused", text, errors=refusal.message_dict) from None
        body = ReplacementShape(replacement).data
        place = f"{request.path.partition('model-versions/')[0]}replacements/{replacement.pk}/"
        return Response(body, 201, headers={"Location": place})


def _start(header: str, size: int) -> int:
    """Returns the first byte that is wanted. Raises Problem for a range of another form."""
    if not header:
        return 0
    first = header.removeprefix("bytes=").removesuffix("-")
    is_number = first.isascii() and first.isdigit() and len(first) < 19
    if not header.startswith("bytes=") or not is_number or int(first) >= size:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Problem(416, "range", _("Send Range as bytes=N-, within the file."), headers=headers)
    return int(first)


def _sent(version: ModelVersion, file: ModelFile, start: int, scope: Any) -> HttpResponseBase:
    """Raises Problem where the store does not answer."""
    try:
        pieces = store().read(version.owner, file.sha256, start)
        first = next(pieces, b"")
    except (StoreError, FileNotFoundError):
        text = _("The store of models does not answer. Try again.")
        raise Problem(503, "unavailable", text) from None
    body = downloads.read(chain([first], pieces), scope)
    answer = StreamingHttpResponse(body, status=206 if start else 200, content_type=_MEDIA)
    answer["Content-Length"] = str(file.size - start)
    answer["Content-Disposition"] = f'attachment; filename="{file.name.rpartition("/")[2]}"'
    if start:
        answer["Content-Range"] = f"bytes {start}-{file.size - 1}/{file.size}"
    return answer
