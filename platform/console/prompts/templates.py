"""Pages of a tenant's prompt templates: the list, adding and removing."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from console.authorization import TenantRequest, permitted
from console.post_only import require_POST
from console.prompts.forms import ContentForms, NameForm
from inference.models import PromptTemplate
from tenants.roles import Permission


@permitted(Permission.VIEW_TEMPLATES)
def templates(request: TenantRequest) -> HttpResponse:
    rows = request.tenant.prompt_templates.order_by("name")
    return render(request, "console/prompts/templates.html", {"templates": rows})


@permitted(Permission.MANAGE_TEMPLATES)
def addition(request: TenantRequest) -> HttpResponse:
    form, content = (
        NameForm(request.POST or None, request.tenant),
        ContentForms(request.POST or None),
    )
    if request.method == "POST" and all([form.is_valid(), content.is_valid()]):
        try:
            name, text = form.cleaned_data["name"], content.content
            template = PromptTemplate.create(request.tenant, name, text, by=request.actor)
            return redirect(
                "console:prompt_template", tenant=request.tenant.name, template=template.pk
            )
        except ValidationError as problem:
            content.refuse(problem)
    return render(request, "console/prompts/addition.html", {"form": form, "content": content})


@require_POST
@permitted(Permission.MANAGE_TEMPLATES)
def removal(request: TenantRequest, template: UUID) -> HttpResponse:
    row = get_object_or_404(request.tenant.prompt_templates, pk=template)
    row.remove(by=request.actor)
    messages.success(request, _("The template %(name)s is gone.") % {"name": row.name})
    return redirect("console:prompt_templates", tenant=request.tenant.name)
