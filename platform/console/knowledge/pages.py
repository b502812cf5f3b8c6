"""Pages of knowledge bases: the list, one of them, and a question to it."""

from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from console.authorization import TenantRequest, permitted
from console.client_network import client_ip
from console.knowledge.forms import LARGEST_PIECE, BaseForm, DocumentForm, QuestionForm
from console.knowledge.words import PROBLEMS, REFUSALS
from console.paging import page
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from inference.api.knowledge.questions import ask_from_thread
from inference.errors import ApiError
from inference.intake.context import context_if_any
from inference.knowledge import creating, deleting, storage_limit, vectors
from inference.knowledge.searching import Cited
from inference.models import KnowledgeBase
from tenants.models import Member
from tenants.roles import Permission

PASSAGES = 5


BASES = Table(
    "knowledge-bases",
    {
        "name": Column(gettext_lazy("Knowledge base"), "name", "name"),
        "model": Column(gettext_lazy("Model"), "model", "model"),
        "size": Column(gettext_lazy("Size"), "stored_bytes", "stored_bytes", numbers=True),
        "changed": Column(gettext_lazy("Changed"), "changed_at", "changed_at"),
    },
    order="-changed",
    search=("name", "model"),
)


@permitted(Permission.VIEW_KNOWLEDGE)
def bases(request: TenantRequest) -> HttpResponse:
    return _list(request)


@require_POST
@permitted(Permission.MANAGE_KNOWLEDGE)
def addition(request: TenantRequest) -> HttpResponse:
    form = BaseForm(request.POST, request.tenant)
    create = partial(creating.create, request.tenant, by=request.actor)
    words = {vectors.NoVectors: _no_vectors()}
    base = saved(form, lambda: create(**form.cleaned_data), words)
    return to_base(request, base) if base else _list(request, form=form)


@permitted(Permission.VIEW_KNOWLEDGE)
def base(request: TenantRequest, knowledge_base: UUID) -> HttpResponse:
    return base_page(request, find(request, knowledge_base))


@require_POST
@permitted(Permission.VIEW_KNOWLEDGE)
def question(request: TenantRequest, knowledge_base: UUID) -> HttpResponse:
    """Show the passages for a question. What was read is on record."""
    row, form = find(request, knowledge_base), QuestionForm(request.POST)
    if not form.is_valid():
        return base_page(request, row, question_form=form)
    try:
        passages = _ask(request, row, form.cleaned_data["question"])
    except ApiError as problem:
        form.add_error("question", problem.message)
        return base_page(request, row, question_form=form)
    row.record(Action.KNOWLEDGE_READ, request.actor, passages=[each.id for each in passages])
    return base_page(request, row, question_form=form, passages=passages, asked=True)


@require_POST
@permitted(Permission.MANAGE_KNOWLEDGE)
def deletion(request: TenantRequest, knowledge_base: UUID) -> HttpResponse:
    row = find(request, knowledge_base)
    text = _("The knowledge base %(name)s is gone.") % {"name": row.name}
    delete = partial(deleting.delete, row)
    return report_and_leave(request, delete, text, "console:knowledge_bases", REFUSALS)


def find(request: TenantRequest, pk: UUID) -> KnowledgeBase:
    return get_object_or_404(KnowledgeBase.objects.present(), tenant=request.tenant, pk=pk)


def to_base(request: TenantRequest, row: KnowledgeBase) -> HttpResponse:
    return redirect("console:knowledge_base", tenant=request.tenant.name, knowledge_base=row.pk)


def member_of(request: TenantRequest) -> Member:
    """Returns whose limits count. Raises PermissionDenied for an operator who is no member."""
    if request.member is None:
        raise PermissionDenied(_("Only members of the tenant can do this."))
    return request.member


def base_page(request: TenantRequest, row: KnowledgeBase, **shown: Any) -> HttpResponse:
    documents = page(row.documents.present(), "created_at", request.GET.get("cursor", ""))
    context = {
        "base": row,
        "page": documents,
        "rows": [(each, PROBLEMS.get(each.problem, each.problem)) for each in documents.rows],
        "moving": any(document.is_moving for document in documents.rows),
        "piece": LARGEST_PIECE,
        "most": settings.KNOWLEDGE_BASE_BYTES,
        "document_form": DocumentForm(),
        "question_form": QuestionForm(),
        **shown,
    }
    return render(request, "console/knowledge/base.html", context)


def _list(request: TenantRequest, **shown: Any) -> HttpResponse:
    rows = KnowledgeBase.objects.present().filter(tenant=request.tenant)
    context = {
        "stored": storage_limit.stored(request.tenant.id),
        "most": settings.KNOWLEDGE_BYTES,
        "form": BaseForm(None, request.tenant),
        **shown,
    }
    return BASES.page(request, rows, "console/knowledge/list.html", **context)


def _ask(request: TenantRequest, row: KnowledgeBase, text: str) -> list[Cited]:
    """Raises ApiError."""
    who, context = member_of(request), context_if_any(request)
    return ask_from_thread(context, who, row, text, PASSAGES, client_ip(request))


def _no_vectors() -> str:
    return str(vectors.NoVectors())
