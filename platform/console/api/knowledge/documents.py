"""Documents of a knowledge base: whole, or in pieces; their state; their content."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.actions import Action
from audit.keys.keyring import Unreadable
from console import downloads
from console.api.acts import Act, filters, listing, showing
from console.api.knowledge.bases import caller_of
from console.api.pieces import LARGEST_PIECE, PieceShape, add_piece
from console.api.problem import Problem, bad_request, first_or_404, not_found
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from console.knowledge.words import DUPLICATE, STATUSES, UNKNOWN_FORMAT
from inference.knowledge import deleting, uploading
from inference.models import Document, DocumentFormat, DocumentState, KnowledgeBase
from inference.models.assistants.document import LONGEST_PATH, LONGEST_URL
from tenants.roles import Permission as P


class DocumentShape(Row):
    name = s.CharField()
    url = s.CharField()
    format = s.ChoiceField(DocumentFormat.choices, source="form")
    state = s.ChoiceField(DocumentState.choices)
    problem = s.CharField(help_text="A code, of a document that failed.")
    bytes = s.IntegerField(source="size")
    passages = s.IntegerField()
    embedded = s.IntegerField(help_text="Of its passages.")
    left_out = s.IntegerField(help_text="Rows of questions and answers that are none.")
    created_by = s.CharField()
    ready_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "name": "returns.md",
        "url": "https://shop.example/returns",
        "format": "markdown",
        "state": "ready",
        "problem": "",
        "passages": 12,
        "embedded": 12,
    }


class NewDocument(Shape):
    name = s.CharField(max_length=LONGEST_PATH, help_text="A new upload of a name replaces it.")
    format = s.ChoiceField(
        DocumentFormat.choices, required=False, help_text="By default by the name's ending."
    )
    url = s.CharField(max_length=LONGEST_URL, required=False, help_text="Cited with passages.")
    content = s.CharField(
        max_length=LARGEST_PIECE,
        trim_whitespace=False,
        required=False,
        help_text="Its text. Without it pieces follow.",
    )
    EXAMPLE = {"name": "returns.md", "content": "# Returns\nWithin thirty days."}


class NewDocumentPiece(PieceShape):
    EXAMPLE = {"number": 0, "content": "IyBSZXR1cm5zCg=="}


class Documents(Resource):
    shape = DocumentShape
    volatile = ("state", "problem", "bytes", "passages", "embedded", "left_out", "ready_at")
    refusals = STATUSES

    def rows(self) -> QuerySet[Document]:
        return Document.objects.present().filter(base=self._base()).select_related("base")

    list = listing(
        P.VIEW_KNOWLEDGE,
        "List the documents of a knowledge base, the latest first.",
        asks=filters(
            name=f.CharFilter(max_length=LONGEST_PATH),
            state=f.ChoiceFilter(choices=DocumentState.choices),
        ),
    )
    retrieve = showing(P.VIEW_KNOWLEDGE, "Show a document, and how far it has been embedded.")

    @Act(P.MANAGE_KNOWLEDGE, takes=NewDocument)
    def create(self, request: Any, **path: Any) -> Response:
        """Upload a document, or begin an upload in pieces.

        It is embedded in the background with the limits of the caller: poll until its state is
        `ready`. A document whose content is there under the same name and in the same format is
        answered as it is.
        """
        base, fields = self._base(), self.body()
        form = fields.get("format") or uploading.format_of(fields["name"])
        if form is None:
            raise bad_request({"format": [str(UNKNOWN_FORMAT)]})
        about = base, fields["name"], DocumentFormat(form)
        caller, url = caller_of(self.who), fields.get("url", "")
        if "content" not in fields:
            begun = uploading.begin(*about, url, caller=caller, by=self.actor)
            return self.respond(begun, 201)
        content = fields["content"].encode()
        try:
            document = uploading.store(*about, content, url, caller=caller, by=self.actor)
        except uploading.Duplicate as duplicate:
            raise _is_there(duplicate) from None
        return self.respond(document, 201)

    @Act(P.MANAGE_KNOWLEDGE)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Delete a document. Nobody finds it from then on, and its key is destroyed."""
        deleting.remove(self.row_to_change(), by=self.actor)
        return Response(status=204)

    @Act(P.MANAGE_KNOWLEDGE, takes=NewDocumentPiece)
    def pieces(self, request: Any, **path: Any) -> Response:
        """Add a piece of an upload. Pieces come in order; the last one may be sent again."""
        return add_piece(self, uploading)

    @Act(P.MANAGE_KNOWLEDGE)
    def finish(self, request: Any, **path: Any) -> Response:
        """End an upload in pieces. It is embedded in the background."""
        document = self.row()
        try:
            stored = uploading.finish(document)
        except uploading.Duplicate as duplicate:
            raise _is_there(duplicate) from None
        if stored.pk != document.pk:
            uploading.give_up(document)
        return self.respond(stored)

    @Act(P.MANAGE_KNOWLEDGE, files=("application/octet-stream",))
    def content(self, request: Any, **path: Any) -> HttpResponse:
        """Download a document as it was uploaded. This is on record."""
        document = self.row()
        try:
            body = uploading.content(document)
        except Unreadable:  # it is being deleted
            raise not_found() from None
        document.record(Action.KNOWLEDGE_READ, self.actor)
        name = f"{document.pk}.{document.form}"
        return downloads.file(body, name, "application/octet-stream")

    def _base(self) -> KnowledgeBase:
        bases = KnowledgeBase.objects.present().filter(tenant=self.url_tenant)
        return first_or_404(bases.filter(pk=self.kwargs["knowledge_base"]))


def _is_there(duplicate: uploading.Duplicate) -> Problem:
    return Problem(409, "duplicate", str(DUPLICATE) % duplicate.name)
