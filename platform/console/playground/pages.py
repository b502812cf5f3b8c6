"""The playground: one prompt to several models side by side, and the same as code."""

from django.http import HttpResponse
from django.shortcuts import render

from console.authorization import TenantRequest, permitted
from console.playground.code import first_request, samples
from console.playground.forms import MOST_MODELS, PlaygroundForm
from console.post_only import require_POST
from inference.intake.access.allowed import models_for
from tenants.roles import Permission

LONGEST_NAME = 201  # of a model with an adapter


@permitted(Permission.USE_PLAYGROUND)
def playground(request: TenantRequest) -> HttpResponse:
    models = models_for(request.member) if request.member else []
    chosen = request.GET.get("model", "")
    first = chosen if chosen in models else next(iter(models), "")
    context = {
        "form": PlaygroundForm(),
        "models": models,
        "columns": [(number, first if number == 1 else "") for number in range(1, MOST_MODELS + 1)],
        "samples": samples(first_request(first or "MODEL")),
    }
    return render(request, "console/playground/page.html", context)


@require_POST
@permitted(Permission.USE_PLAYGROUND)
def code(request: TenantRequest) -> HttpResponse:
    """Show the form as code. Nothing runs."""
    form, context = PlaygroundForm(request.POST), dict[str, object]()
    model = request.POST.get("model-1", "")[:LONGEST_NAME] or "MODEL"
    if form.is_valid():
        context["samples"] = samples(form.body(model))
    else:
        context["problems"] = form.problems
    return render(request, "console/playground/_code.html", context)
