"""Acts on the documents of a knowledge base: uploads, in one form or in pieces, and deletion."""

from functools import partial
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from console.authorization import TenantRequest, permitted
from console.knowledge.forms import DocumentForm, PieceForm
from console.knowledge.pages import base_page, find, member_of, to_base
from console.knowledge.words import DUPLICATE, REFUSALS, UNKNOWN_FORMAT
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from inference.knowledge import deleting, uploading
from inference.models import Document, DocumentFormat, DocumentState, KnowledgeBase
from inference.models.assistants.document import LONGEST_PATH
from tenants.roles import Permission


@require_POST
@permitted(Permission.MANAGE_KNOWLEDGE)
def upload(request: TenantRequest, knowledge_base: UUID) -> HttpResponse:
    """Take a small file, or end the upload to which a script has sent the pieces of one."""
    row, form = find(request, knowledge_base), DocumentForm(request.POST, request.FILES)
    if saved(form, lambda: _stored(request, row, form), REFUSALS):
        return to_base(request, row)
    return base_page(request, row, document_form=form)


@require_POST
@permitted(Permission.MANAGE_KNOWLEDGE)
def uploads(request: TenantRequest, knowledge_base: UUID) -> HttpResponse:
    """Begin an upload for a script. Returns its id, and where its pieces go."""
    row, name = find(request, knowledge_base), request.POST.get("file_name", "")[:LONGEST_PATH]
    form = uploading.format_of(name) or DocumentFormat.TEXT  # the form says it in the end
    try:
        document = uploading.begin(row, name, form, caller=member_of(request), by=request.actor)
    except ValidationError as problem:
        return _refused(" ".join(problem.messages))
    place = [request.tenant.name, row.pk, document.pk]
    pieces_at = reverse("console:knowledge_pieces", args=place)
    return JsonResponse({"upload": str(document.pk), "pieces": pieces_at})


@require_POST
@permitted(Permission.MANAGE_KNOWLEDGE)
def pieces(request: TenantRequest, knowledge_base: UUID, document: UUID) -> HttpResponse:
    """Take a piece; `piece` is its number. A wrong one is told the next number."""
    row, form = _find(request, knowledge_base, document), PieceForm(request.POST, request.FILES)
    if not form.is_valid():
        return HttpResponse(status=400)
    number, content = form.cleaned_data["piece"], form.cleaned_data["file"].read()
    try:
        uploading.add_piece(row, number, content)
    except uploading.WrongPiece as wrong:
        return JsonResponse({"next": wrong.expected}, status=409)
    except tuple(REFUSALS) as problem:
        return _refused(str(REFUSALS[type(problem)]))
    return HttpResponse(status=204)


@require_POST
@permitted(Permission.MANAGE_KNOWLEDGE)
def removal(request: TenantRequest, knowledge_base: UUID, document: UUID) -> HttpResponse:
    row = _find(request, knowledge_base, document)
    text = _("The document %(name)s is gone.") % {"name": row.name}
    place = {"knowledge_base": knowledge_base}
    remove = partial(deleting.remove, row)
    return report_and_leave(request, remove, text, "console:knowledge_base", REFUSALS, **place)


def _find(request: TenantRequest, knowledge_base: UUID, pk: UUID) -> Document:
    base = find(request, knowledge_base)
    return get_object_or_404(base.documents.present().select_related("base"), pk=pk)


def _stored(request: TenantRequest, base: KnowledgeBase, form: DocumentForm) -> Document:
    """Raises ValidationError, and what the upload raises."""
    fields: dict[str, Any] = form.cleaned_data
    try:
        if fields["upload"]:
            return _finished(base, form)
        file = fields["file"]
        kind, caller = _kind(form, file.name), member_of(request)
        about = base, file.name, kind, file.read(), fields["url"]
        return uploading.store(*about, caller=caller, by=request.actor)
    except uploading.Duplicate as duplicate:
        raise ValidationError({"file": str(DUPLICATE) % duplicate.name}) from None


def _finished(base: KnowledgeBase, form: DocumentForm) -> Document:
    begun = base.documents.filter(state=DocumentState.UPLOADING)
    document = get_object_or_404(begun, pk=form.cleaned_data["upload"])
    document.form, document.url = _kind(form, document.name), form.cleaned_data["url"]
    document.save(update_fields=["form", "url"])
    stored = uploading.finish(document)
    if stored.pk != document.pk:
        uploading.give_up(document)
    return stored


def _kind(form: DocumentForm, name: str) -> DocumentFormat:
    """Raises ValidationError."""
    kind = form.form_for(name)
    if kind is None:
        raise ValidationError({"form": str(UNKNOWN_FORMAT)})
    return kind


def _refused(text: str) -> HttpResponse:
    return HttpResponse(text, status=409, content_type="text/plain")
