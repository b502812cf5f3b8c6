"""Uploads of models in pieces, which a script sends before the form of the import."""

from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.keys.keyring import Barred
from audit.trail.truncated_address import network
from console.authorization import TenantRequest, permitted
from console.client_network import client_ip
from console.post_only import require_POST
from console.registry.forms import PieceForm
from inference.batch.file_storage_limit import FileGone, StorageFull, TooManyFiles
from inference.batch.file_store import FileOwner
from inference.model_registry import uploading
from inference.models import File
from tenants.roles import Permission

_FULL = gettext_lazy("The files of this tenant are full. Delete some.")
REFUSALS: dict[type[Exception], str | Promise] = {
    StorageFull: _FULL,
    TooManyFiles: _FULL,
    uploading.TooLarge: gettext_lazy("The file is too large (FOREBAY_FILE_BYTES)."),
    FileGone: gettext_lazy("The upload is over: begin anew."),
    Barred: gettext_lazy("Your data is erased or restricted."),
}


@require_POST
@permitted(Permission.MANAGE_MODELS)
def uploads(request: TenantRequest) -> HttpResponse:
    """Begin an upload. Returns its id, and where its pieces go."""
    try:
        upload = uploading.begin(owner_of(request), request.POST.get("file_name", "")[:255])
    except tuple(REFUSALS) as problem:
        return _refused(problem)
    place = reverse("console:model_upload_pieces", args=[request.tenant.name, upload.pk])
    return JsonResponse({"upload": upload.pk, "pieces": place})


@require_POST
@permitted(Permission.MANAGE_MODELS)
def pieces(request: TenantRequest, upload: UUID) -> HttpResponse:
    """Take a piece; `piece` is its number. A wrong one is told the next number."""
    row, form = own_upload(request, upload), PieceForm(request.POST, request.FILES)
    if not form.is_valid():
        return HttpResponse(status=400)
    number, content = form.cleaned_data["piece"], form.cleaned_data["file"].read()
    try:
        uploading.add_piece(row, owner_of(request), number, content)
    except uploading.WrongPiece as wrong:
        return JsonResponse({"next": wrong.expected}, status=409)
    except tuple(REFUSALS) as problem:
        return _refused(problem)
    return HttpResponse(status=204)


def own_upload(request: TenantRequest, pk: UUID) -> File:
    """Returns an upload of this member's. Raises Http404, PermissionDenied."""
    owner = owner_of(request)
    rows = uploading.of_person(owner.tenant_id, owner.subject_id)
    return get_object_or_404(rows, pk=pk)


def uploaded(request: TenantRequest, name: str, content: bytes) -> File:
    """Store a small file that came with the form. Raises ValidationError."""
    owner = owner_of(request)
    try:
        upload = uploading.begin(owner, name[:255])
        uploading.add_piece(upload, owner, 0, content)
    except tuple(REFUSALS) as problem:
        raise ValidationError({"file": str(REFUSALS[type(problem)])}) from None
    return upload


def owner_of(request: TenantRequest) -> FileOwner:
    if request.member is None:  # an operator who is no member would own it
        raise PermissionDenied(_("Only members of the tenant can do this."))
    address = network(client_ip(request))
    subject_id = request.member.subject_id
    return FileOwner(request.tenant.id, subject_id, None, request.actor, address)


def _refused(problem: Exception) -> HttpResponse:
    text = str(REFUSALS[type(problem)])
    return HttpResponse(text, status=409, content_type="text/plain")
