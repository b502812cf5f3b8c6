"""One engine: how it stands, what its breaker has been through, and the acts on it."""

from hashlib import sha256
from typing import Any, cast, get_args
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from console.account.reauthentication import recently_proven
from console.acts_only import require_POST
from console.authorization import ConsoleRequest, operators_only
from console.serving.engine_load import engine_load
from console.serving.engine_log import LogTail, log_tail
from console.serving.forms import ChangedEngineForm, NewEngineForm
from console.serving.outcome import acted, saved
from console.serving.pool_lines import engine_line
from console.serving.pools_page import page
from inference.engines.breaker_override import Wanted, override
from inference.engines.standing import Standing
from inference.models import Engine, Pool
from inference.queue.client import client
from inference.registry.checking import check_given
from inference.registry.launched import with_server


@operators_only
@recently_proven
def engine(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    found = _found(engine)
    form = ChangedEngineForm.of(found, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and saved(form, lambda: _change(engine, form, request)):
        said = _("The engine %(name)s is changed. What it has begun is finished as it was.")
        messages.success(request, said % {"name": found.name})
        return redirect("console:engine", engine=engine)
    found = _found(engine)
    line, tail = engine_line(found), log_tail(found)
    context = {"line": line, "form": form, "log": tail, "mark": _mark(line.standing, tail)}
    context["load"] = engine_load(found.name)
    return render(request, "console/serving/engine.html", context)


@operators_only
def live(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    """The part of the page that is asked for again and again: all but the form."""
    found = _found(engine)
    context = {"line": engine_line(found), "load": engine_load(found.name)}
    return render(request, "console/serving/_engine.html", context)


@operators_only
def log(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    """With the state; what the page asks for again and again. 204 while nothing has changed."""
    found = _found(engine)
    line, tail = engine_line(found), log_tail(found) or LogTail([], "")
    mark = _mark(line.standing, tail)
    if request.GET.get("mark") == mark:
        return HttpResponse(status=204)
    context = {"engine": found, "line": line, "log": tail, "mark": mark}
    return render(request, "console/serving/_log.html", context)


def _mark(now: Standing, tail: LogTail | None) -> str:
    """Of what the page shows of it: another one, another text."""
    return sha256(repr((now, tail and tail.mark)).encode()).hexdigest()[:32]


@require_POST
@operators_only
@recently_proven
def addition(request: ConsoleRequest) -> HttpResponse:
    form = NewEngineForm(request.POST)
    if form.is_valid() and saved(form, lambda: _add(form, request)):
        said = _("The engine %(name)s is there. Every process uses it within a second.")
        messages.success(request, said % form.cleaned_data)
        return redirect("console:pools")
    return page(request, new_engine=form)


@require_POST
@operators_only
@recently_proven
def removal(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    found = _found(engine)
    said = _("The engine %(name)s is removed. It finishes what it has begun.")
    return _done(request, lambda: found.remove(by=request.actor), said % {"name": found.name})


@require_POST
@operators_only
def draining(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    found = _found(engine)
    said = _("The engine %(name)s takes no new requests. It finishes what it has.")
    return _done(request, lambda: found.drain(by=request.actor), said % {"name": found.name})


@require_POST
@operators_only
def resumption(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    found = _found(engine)
    said = _("The engine %(name)s takes requests again.")
    return _done(request, lambda: found.resume(by=request.actor), said % {"name": found.name})


@require_POST
@operators_only
def breaker(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    """Kept open or closed, or left to what requests meet."""
    found, state = _found(engine), request.POST.get("state", "")
    if state not in get_args(Wanted):
        raise Http404
    wanted = cast("Wanted", state)
    said = {
        "open": _("The breaker of %(name)s is kept open: no request goes there."),
        "closed": _("The breaker of %(name)s is kept closed: requests go there whatever happens."),
        "automatic": _("The breaker of %(name)s is automatic, and closed."),
    }[wanted] % {"name": found.name}
    return _done(request, lambda: override(client(), found.name, wanted, by=request.actor), said)


def _found(engine: UUID) -> Engine:
    found: Engine = get_object_or_404(Engine.objects.select_related("pool__model"), pk=engine)
    return found


def _done(request: ConsoleRequest, act: Any, said: str) -> HttpResponse:
    acted(request, act, said)
    return redirect("console:pools")


def _add(form: NewEngineForm, request: ConsoleRequest) -> None:
    given = with_server(form.cleaned_data["name"], form.given)
    pool: Pool = given.pop("pool")
    name: str = given.pop("name")
    check_given(pool, name, given)
    Engine.add(pool, name, by=request.actor, **given)


def _change(engine: UUID, form: ChangedEngineForm, request: ConsoleRequest) -> None:
    rows = Engine.objects.select_related("pool__model")
    locked = get_object_or_404(rows.select_for_update(of=("self",), no_key=True), pk=engine)
    form.change(locked, by=request.actor)
