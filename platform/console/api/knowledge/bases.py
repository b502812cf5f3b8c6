"""Knowledge bases: creating, deleting, and questions to them."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.actions import Action
from console.api.acts import Act, filters, listing, showing
from console.api.problem import Problem, denied
from console.api.requester import Requester
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from console.client_network import client_ip
from console.knowledge.words import NO_INFERENCE, STATUSES
from inference.api.knowledge.questions import LONGEST, MOST, ask_from_thread
from inference.errors import ApiError
from inference.intake.context import context_if_any
from inference.knowledge import creating, deleting
from inference.models import KnowledgeBase
from inference.models.prompt_template import LONGEST_NAME
from inference.models.served import LONGEST_NAME as LONGEST_MODEL
from tenants.key_scopes import Scope
from tenants.models import ApiKey, Member
from tenants.roles import Permission as P


class KnowledgeBaseShape(Row):
    name = s.CharField()
    model = s.CharField(help_text="It embeds documents and questions, and never changes.")
    bytes = s.IntegerField(source="stored_bytes", help_text="Of documents, as uploaded.")
    created_by = s.CharField()
    changed_at = s.DateTimeField()
    EXAMPLE = {"name": "manual", "model": "minilm", "bytes": 48210}


class NewKnowledgeBase(Shape):
    name = s.CharField(max_length=LONGEST_NAME)
    model = s.CharField(max_length=LONGEST_MODEL, help_text="A model that makes embeddings.")
    EXAMPLE = {"name": "manual", "model": "minilm"}


class KnowledgeQuestion(Shape):
    question = s.CharField(max_length=LONGEST)
    most = s.IntegerField(min_value=1, max_value=MOST, required=False, help_text="Default: 5.")
    EXAMPLE = {"question": "How long may I send goods back?", "most": 5}


class CitedPassageShape(Shape):
    id = s.IntegerField()
    document = s.UUIDField()
    name = s.CharField(help_text="The document's.")
    titles = s.ListField(child=s.CharField(), help_text="The headings above it.")
    url = s.CharField(help_text="The document's address with the section's anchor, if it has one.")
    text = s.CharField()
    score = s.FloatField(help_text="Among the candidates: 0 is their mean.")
    likeness = s.FloatField(help_text="Cosine of its vector and the question's.")
    shared = s.FloatField(help_text="The share of the question's words that it has, by weight.")


class KnowledgeAnswer(Shape):
    passages = s.ListField(child=CitedPassageShape(), help_text="The best first.")
    EXAMPLE = {
        "passages": [
            {
                "id": 17,
                "document": "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
                "name": "returns.md",
                "titles": ["Returns", "Time limit"],
                "url": "https://shop.example/returns#time-limit",
                "text": "Send goods back within thirty days.",
                "score": 4.1,
                "likeness": 0.71,
                "shared": 0.8,
            }
        ]
    }


class KnowledgeBases(Resource):
    shape = KnowledgeBaseShape
    orderings = ("name", "-name", "created_at", "-created_at")
    volatile = ("bytes", "changed_at")
    refusals = STATUSES

    def rows(self) -> QuerySet[KnowledgeBase]:
        return KnowledgeBase.objects.present().filter(tenant=self.url_tenant)

    list = listing(
        P.VIEW_KNOWLEDGE,
        "List a tenant's knowledge bases.",
        asks=filters(name=f.CharFilter(max_length=LONGEST_NAME)),
    )
    retrieve = showing(P.VIEW_KNOWLEDGE, "Show a knowledge base.")

    @Act(P.MANAGE_KNOWLEDGE, takes=NewKnowledgeBase)
    def create(self, request: Any, **path: Any) -> Response:
        """Create an empty knowledge base. PostgreSQL needs the extension pgvector."""
        fields = self.body()
        self.refuse_taken(fields["name"])
        return self.respond(creating.create(self.url_tenant, by=self.actor, **fields), 201)

    @Act(P.MANAGE_KNOWLEDGE)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Delete a knowledge base with its documents. Its key is destroyed at once."""
        deleting.delete(self.row_to_change(), by=self.actor)
        return Response(status=204)

    @Act(P.VIEW_KNOWLEDGE, takes=KnowledgeQuestion, gives=KnowledgeAnswer)
    def search(self, request: Any, **path: Any) -> Response:
        """Search a knowledge base. The question is embedded: a request of the caller's."""
        base, fields = self.row(), self.body()
        who, origin = caller_of(self.who), client_ip(request._request)
        try:
            passages = ask_from_thread(
                context_if_any(request._request),
                who,
                base,
                fields["question"],
                fields.get("most", 5),
                origin,
            )
        except ApiError as problem:
            raise Problem(problem.status, problem.code, problem.message) from None
        base.record(Action.KNOWLEDGE_READ, self.actor, passages=[each.id for each in passages])
        return Response({"passages": [each._asdict() for each in passages]})


def caller_of(who: Requester) -> ApiKey | Member:
    """Returns whose limits count. Raises Problem for operators, and for keys without inference."""
    caller = who.member or who.key
    if caller is None:
        raise denied(_("Only members of the tenant and its keys can do this."))
    if isinstance(caller, ApiKey) and Scope.INFERENCE not in caller.scopes:
        raise denied(str(NO_INFERENCE))
    return caller
