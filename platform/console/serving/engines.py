"""Page of one engine: its state, its circuit breaker's history, and the acts on it."""

from functools import partial
from hashlib import sha256
from typing import cast, get_args
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.serving.engine_reports import LogTail, engine_load, log_tail
from console.serving.forms import ChangedEngineForm, NewEngineForm
from console.serving.pool_lines import engine_line
from console.serving.pools import page
from inference.engines.health.breaker_override import Wanted, override
from inference.engines.health.reachability import EngineState
from inference.models import Engine, Pool
from inference.queue.client import client
from inference.registry.checking import check_fields, with_server


@operators_only
@recently_proven
def engine(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    row = _engine_row(engine)
    form = ChangedEngineForm.of(row, request.POST if request.method == "POST" else None)
    if saved(form, lambda: _change(engine, form, request)):
        text = _("The engine %(name)s is changed. What it has begun is finished as it was.")
        messages.success(request, text % {"name": row.name})
        return redirect("console:engine", engine=engine)
    row = _engine_row(engine)
    line, tail = engine_line(row), log_tail(row)
    context = {"line": line, "form": form, "log": tail, "mark": _mark(line.standing, tail)}
    context["load"] = engine_load(row.name)
    return render(request, "console/serving/engine.html", context)


@operators_only
def live(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    """Render the part of the page that is refreshed: all but the form."""
    row = _engine_row(engine)
    context = {"line": engine_line(row), "load": engine_load(row.name)}
    return render(request, "console/serving/_engine.html", context)


@operators_only
def log(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    """Render the log and the state, which the page polls; 204 while nothing has changed."""
    row = _engine_row(engine)
    line, tail = engine_line(row), log_tail(row) or LogTail([], "")
    mark = _mark(line.standing, tail)
    if request.GET.get("mark") == mark:
        return HttpResponse(status=204)
    context = {"engine": row, "line": line, "log": tail, "mark": mark}
    return render(request, "console/serving/_log.html", context)


def _mark(state: EngineState, tail: LogTail | None) -> str:
    """Returns a mark that changes whenever the state or the log does."""
    return sha256(repr((state, tail and tail.mark)).encode()).hexdigest()[:32]


@require_POST
@operators_only
@recently_proven
def addition(request: ConsoleRequest) -> HttpResponse:
    form = NewEngineForm(request.POST)
    if saved(form, lambda: _add(form, request)):
        text = _("The engine %(name)s is there. Every process uses it within a second.")
        messages.success(request, text % form.cleaned_data)
        return redirect("console:pools")
    return page(request, new_engine=form)


@require_POST
@operators_only
@recently_proven
def removal(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    text = _("The engine %(name)s is removed. It finishes what it has begun.")
    return _call(request, engine, "remove", text)


@require_POST
@operators_only
def draining(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    text = _("The engine %(name)s takes no new requests. It finishes what it has.")
    return _call(request, engine, "drain", text)


@require_POST
@operators_only
def resumption(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    return _call(request, engine, "resume", _("The engine %(name)s takes requests again."))


def _call(request: ConsoleRequest, engine: UUID, verb: str, text: str) -> HttpResponse:
    row = _engine_row(engine)
    text = text % {"name": row.name}
    return report_and_leave(request, getattr(row, verb), text, "console:pools")


@require_POST
@operators_only
def breaker(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    """Keep the breaker open or closed, or leave it to the outcome of requests."""
    row, state = _engine_row(engine), request.POST.get("state", "")
    if state not in get_args(Wanted):
        raise Http404
    breaker_state = cast("Wanted", state)
    text = {
        "open": _("Traffic to %(name)s is blocked: no request goes there."),
        "closed": _("Traffic to %(name)s is forced: requests go there whatever happens."),
        "automatic": _("The breaker of %(name)s is automatic, and closed."),
    }[breaker_state] % {"name": row.name}
    act = partial(override, client(), row.name, breaker_state)
    return report_and_leave(request, act, text, "console:pools")


def _engine_row(engine: UUID) -> Engine:
    row: Engine = get_object_or_404(Engine.objects.select_related("pool__model"), pk=engine)
    return row


def _add(form: NewEngineForm, request: ConsoleRequest) -> None:
    fields = with_server(form.cleaned_data["name"], form.settings)
    pool: Pool = fields.pop("pool")
    name: str = fields.pop("name")
    check_fields(pool, name, fields)
    Engine.add(pool, name, by=request.actor, **fields)


def _change(engine: UUID, form: ChangedEngineForm, request: ConsoleRequest) -> None:
    rows = Engine.objects.select_related("pool__model")
    row = get_object_or_404(rows.select_for_update(of=("self",), no_key=True), pk=engine)
    form.change(row, by=request.actor)
