"""Pools: how full each is, and the acts on them. For operators."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.utils.translation import gettext as _

from console.account.reauthentication import recently_proven
from console.acts_only import require_POST
from console.authorization import ConsoleRequest, operators_only
from console.serving.forms import NewPoolForm
from console.serving.outcome import acted, saved
from console.serving.pool_lines import pool_lines
from console.serving.pools_page import page
from inference.models import Pool

STEPS = {"up": -1, "down": 1}


@operators_only
def pools(request: ConsoleRequest) -> HttpResponse:
    return page(request)


@operators_only
def live(request: ConsoleRequest) -> HttpResponse:
    return render(request, "console/serving/_pools.html", {"lines": pool_lines()})


@require_POST
@operators_only
@recently_proven
def addition(request: ConsoleRequest) -> HttpResponse:
    form = NewPoolForm(request.POST)
    if form.is_valid() and saved(form, lambda: Pool.add(**form.cleaned_data, by=request.actor)):
        said = _("The pool %(name)s is there. It serves its model once it has an engine.")
        messages.success(request, said % form.cleaned_data)
        return redirect("console:pools")
    return page(request, new_pool=form)


@require_POST
@operators_only
@recently_proven
def removal(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    found = _found(pool)
    said = _("The pool %(name)s is removed.") % {"name": found.name}
    acted(request, lambda: found.remove(by=request.actor), said)
    return redirect("console:pools")


@require_POST
@operators_only
def moving(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    """One place up or down in the order in which its model tries them."""
    found, steps = _found(pool), STEPS.get(request.POST.get("to", ""))
    if steps is None:
        raise Http404
    said = _("The pools of %(model)s are tried in this order from now on.")
    acted(
        request,
        lambda: found.move(steps, by=request.actor),
        said % {"model": found.model.name},
    )
    return redirect(f"{resolve_url('console:served_models')}#{request.POST['to']}-{found.pk}")


def _found(pool: UUID) -> Pool:
    found: Pool = get_object_or_404(Pool.objects.select_related("model"), pk=pool)
    return found
