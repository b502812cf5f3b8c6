"""Pages of a tenant's prompt templates: their versions, the differences, and trying one."""

import difflib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.authorization import TenantRequest, permitted
from console.forms import NewNameForm
from console.post_only import require_POST
from console.prompts.forms import ContentForms, EditionForm, TrialForm
from console.prompts.forms import shown as shown_default
from console.reported_acts import report_and_leave
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.models import PromptTemplate, PromptTemplateVersion
from inference.templating.content import Content
from inference.templating.variables import WrongVariable
from tenants.roles import Permission

SHOWN = 50  # versions, the latest ones


TEMPLATES = Table(
    "prompt-templates",
    {
        "template": Column(gettext_lazy("Template"), "name", "name"),
        "version": Column(gettext_lazy("Version"), "latest", "latest", numbers=True),
        "changed": Column(gettext_lazy("Changed"), "changed_at", "changed_at"),
        "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
    },
    order="template",
    search=("name",),
)


@permitted(Permission.VIEW_TEMPLATES)
def templates(request: TenantRequest) -> HttpResponse:
    rows = request.tenant.prompt_templates.all()
    return TEMPLATES.page(request, rows, "console/prompts/templates.html")


@permitted(Permission.MANAGE_TEMPLATES)
def addition(request: TenantRequest) -> HttpResponse:
    form, content = (
        NewNameForm(request.POST or None, request.tenant.prompt_templates.all()),
        ContentForms(request.POST or None),
    )
    if request.method == "POST" and all([form.is_valid(), content.is_valid()]):
        try:
            name, text = form.cleaned_data["name"], content.content
            template = PromptTemplate.create(request.tenant, name, text, by=request.actor)
            return _to_page(request, template)
        except ValidationError as problem:
            content.refuse(problem)
    return render(request, "console/prompts/addition.html", {"form": form, "content": content})


@require_POST
@permitted(Permission.MANAGE_TEMPLATES)
def removal(request: TenantRequest, template: UUID) -> HttpResponse:
    row = _template(request, template)
    text = _("The template %(name)s is gone.") % {"name": row.name}
    return report_and_leave(request, row.remove, text, "console:prompt_templates")


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
            return _to_page(request, row)
        except ValidationError as problem:
            content.refuse(problem)
    shown = {"template": row, "form": form, "content": content}
    return render(request, "console/prompts/edition.html", shown)


def _template(request: TenantRequest, template: UUID) -> PromptTemplate:
    return get_object_or_404(request.tenant.prompt_templates, pk=template)


def _to_page(request: TenantRequest, template: PromptTemplate) -> HttpResponse:
    return redirect("console:prompt_template", tenant=request.tenant.name, template=template.pk)


def _version(template: PromptTemplate, number: str | None) -> PromptTemplateVersion:
    """Returns the version of this number, by default the latest. Raises Http404."""
    if number is not None and not (number.isascii() and number.isdigit() and len(number) < 7):
        raise Http404
    wanted_number = template.latest if number is None else int(number)
    return get_object_or_404(template.versions.select_related("template"), number=wanted_number)


def _rows(filled: dict[str, Any]) -> list[Any]:
    return filled.get("messages") or [{"role": "prompt", "content": filled["prompt"]}]


def _page(request: TenantRequest, version: PromptTemplateVersion, **shown: Any) -> HttpResponse:
    template, content = version.template, version.content
    versions = list(template.versions.order_by("-number").defer("ciphertext")[:SHOWN])
    actors = Actors.among([each.created_by for each in versions], request.tenant)
    context = {
        "template": template,
        "version": version,
        "texts": _rows({"prompt": content.prompt, "messages": content.messages}),
        "variables": [(one, shown_default(one.default)) for one in content.variables],
        "versions": [(each, actors.name(each.created_by)) for each in versions],
        "trial": TrialForm(None, content),
        "request_body": _request_body(version, content, shown.get("given")),
        "route": "chat/completions" if content.is_chat else "completions",
        "base": settings.PUBLIC_URL,
        **shown,
    }
    return render(request, "console/prompts/template.html", context)


def _request_body(version: PromptTemplateVersion, content: Content, trial_values: Any) -> str:
    """Returns JSON to paste into a shell between single quotes."""
    values = trial_values or {
        one.name: f"…{one.name}" if one.default is None else one.default
        for one in content.variables
    }
    body = {"model": "MODEL", "template": str(version), "variables": values}
    return json.dumps(body, ensure_ascii=False).replace("'", "'\\''")


MOST_LINES = 2_000  # the time to compare grows with their square


@dataclass(frozen=True, slots=True)
class DiffLine:
    sign: str  # "+", "-", " "
    text: str


def as_lines(content: Content) -> list[str]:
    """Returns a version as lines of text."""
    lines = []
    for one in content.messages:
        lines += [f"[{one.role}]", *one.content.splitlines(), ""]
    if content.prompt:
        lines += ["[prompt]", *content.prompt.splitlines(), ""]
    for each in content.variables:
        default = "" if each.default is None else f" = {shown_default(each.default)}"
        most = f" (≤ {each.max_length})" if each.max_length else ""
        lines.append(f"{{{{{each.name}}}}}: {each.type}{most}{default}")
    return lines


def difference(before: Content, after: Content) -> list[DiffLine] | None:
    """Returns None for versions that are too long to compare."""
    one, other = as_lines(before), as_lines(after)
    if max(len(one), len(other)) > MOST_LINES:
        return None
    opcodes = difflib.SequenceMatcher(None, one, other).get_opcodes()
    lines: list[DiffLine] = []
    for kind, i, j, m, n in opcodes:
        if kind == "equal":
            lines += [DiffLine(" ", text) for text in one[i:j]]
        else:
            lines += [DiffLine("-", text) for text in one[i:j]]
            lines += [DiffLine("+", text) for text in other[m:n]]
    return lines
