"""Page of one prompt template: its versions, their differences, and trying one with values."""

import json
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from console.authorization import TenantRequest, permitted
from console.post_only import require_POST
from console.prompts.difference import difference
from console.prompts.forms import ContentForms, EditionForm, TrialForm
from console.prompts.forms import shown as shown_default
from console.trail.actors import Actors
from inference.models import PromptTemplate, PromptTemplateVersion
from inference.templating.content import Content
from inference.templating.variables import WrongVariable
from tenants.roles import Permission

SHOWN = 50  # versions, the latest ones


@permitted(Permission.VIEW_TEMPLATES)
def template(request: TenantRequest, template: UUID) -> HttpResponse:
    """Show a version: `?version=` an earlier one, `?against=` the difference from another."""
    row = _template(request, template)
    version = _version(row, request.GET.get("version"))
    if not (against := request.GET.get("against")):
        return _page(request, version)
    other = _version(row, against)
    lines = difference(other.content, version.content)
    return _page(request, version, other=other, lines=lines)


@require_POST
@permitted(Permission.VIEW_TEMPLATES)
def trial(request: TenantRequest, template: UUID, number: int) -> HttpResponse:
    """Show the version filled with the values. Nothing runs."""
    version = _version(_template(request, template), str(number))
    form = TrialForm(request.POST, version.content)
    if not form.is_valid():
        return _page(request, version, trial=form)
    try:
        filled = version.content.filled(form.values(), settings.MAX_BODY_BYTES)
    except WrongVariable as wrong:
        form.add_error(wrong.name, wrong.message)
        return _page(request, version, trial=form)
    return _page(request, version, trial=form, filled=_rows(filled), given=form.values())


@permitted(Permission.MANAGE_TEMPLATES)
def edition(request: TenantRequest, template: UUID) -> HttpResponse:
    row = _template(request, template)
    form = EditionForm(request.POST or None, row)
    content = ContentForms(request.POST or None, row.version().content)
    if request.method == "POST" and all([form.is_valid(), content.is_valid()]):
        try:
            row.publish(content.content, by=request.actor)
            return redirect("console:prompt_template", tenant=request.tenant.name, template=row.pk)
        except ValidationError as problem:
            content.refuse(problem)
    shown = {"template": row, "form": form, "content": content}
    return render(request, "console/prompts/edition.html", shown)


def _template(request: TenantRequest, template: UUID) -> PromptTemplate:
    row: PromptTemplate = get_object_or_404(request.tenant.prompt_templates, pk=template)
    return row


def _version(template: PromptTemplate, number: str | None) -> PromptTemplateVersion:
    """Returns the version of this number, by default the latest. Raises Http404."""
    if number is not None and not (number.isascii() and number.isdigit() and len(number) < 7):
        raise Http404
    wanted_number = template.latest if number is None else int(number)
    return get_object_or_404(template.versions.select_related("template"), number=wanted_number)


def _rows(filled: dict[str, Any]) -> list[dict[str, str]]:
    return filled.get("messages") or [{"role": "prompt", "content": filled["prompt"]}]


def _page(request: TenantRequest, version: PromptTemplateVersion, **shown: Any) -> HttpResponse:
    template, content = version.template, version.content
    versions = list(template.versions.order_by("-number").defer("ciphertext")[:SHOWN])
    actors = Actors.among([each.created_by for each in versions], request.tenant)
    context = {
        "template": template,
        "version": version,
        "texts": _rows({"prompt": content.prompt, "messages": _messages(content)}),
        "variables": [(one, shown_default(one.default)) for one in content.variables],
        "versions": [(each, actors.name(each.created_by)) for each in versions],
        "trial": TrialForm(None, content),
        "request_body": _request_body(version, content, shown.get("given")),
        "route": "chat/completions" if content.is_chat else "completions",
        "base": settings.PUBLIC_URL,
        **shown,
    }
    return render(request, "console/prompts/template.html", context)


def _messages(content: Content) -> list[dict[str, str]]:
    return [{"role": one.role, "content": one.content} for one in content.messages]


def _request_body(version: PromptTemplateVersion, content: Content, trial_values: Any) -> str:
    """Returns JSON to paste into a shell between single quotes."""
    values = trial_values or {one.name: one.default or f"…{one.name}" for one in content.variables}
    body = {"model": "MODEL", "template": str(version), "variables": values}
    return json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
