"""Pools: how full each is, and the acts on them. For operators."""

from functools import partial
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.utils.translation import gettext as _

from console.account.reauthentication import recently_proven
from console.acts_only import require_POST
from console.authorization import ConsoleRequest, operators_only
from console.serving.forms import NewPoolForm, PolicyForm
from console.serving.limit_words import limit_words
from console.serving.outcome import acted, saved
from console.serving.pool_lines import pool_lines
from console.serving.pools_page import page
from inference.models import Pool
from inference.queue.limits import kept_free

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
    """One place `to` up or down in the order in which its model tries them, or `behind` another."""
    found, to = _found(pool), request.POST.get("to", "")
    said = _("The pools of %(model)s are tried in this order from now on.")
    act = partial(_move, found, to, request.POST.get("behind"), by=request.actor)
    acted(request, act, said % {"model": found.model.name})
    return redirect(f"{resolve_url('console:served_models')}#{to or 'up'}-{found.pk}")


def _move(pool: Pool, to: str, behind: str | None, *, by: str) -> None:
    """Raises Http404, FromFile, ValidationError."""
    if behind is not None:
        pool.place(_behind(behind), by=by)
    elif to in STEPS:
        pool.move(STEPS[to], by=by)
    else:
        raise Http404


def _behind(text: str) -> Pool | None:
    """None for the first place. A pool that is gone stands for itself: it is in no order."""
    if not text:
        return None
    try:
        return Pool(pk=UUID(text))
    except ValueError:
        raise Http404 from None


@operators_only
@recently_proven
def pool(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    """When it takes requests, and how many may wait for it."""
    found = _found(pool)
    form = PolicyForm.of(found, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and saved(form, lambda: _change(pool, form, request)):
        said = _("The pool %(name)s is changed. The change is in force within a second.")
        messages.success(request, said % {"name": found.name})
        return redirect("console:pool", pool=pool)
    found = _found(pool)
    limits = limit_words(found.limits)
    told = {"pool": found, "form": form, "kept_free": kept_free(found.name), "limits": limits}
    return render(request, "console/serving/pool.html", told)


def _change(pool: UUID, form: PolicyForm, request: ConsoleRequest) -> None:
    rows = Pool.objects.select_for_update(of=("self",), no_key=True)
    form.change(get_object_or_404(rows.select_related("model"), pk=pool), by=request.actor)


def _found(pool: UUID) -> Pool:
    found: Pool = get_object_or_404(Pool.objects.select_related("model"), pk=pool)
    return found
