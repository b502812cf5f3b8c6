"""The models that the platform serves: their pools in order, what they take, what they cost."""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from console.account.reauthentication import recently_proven
from console.acts_only import require_POST
from console.authorization import ConsoleRequest, operators_only
from console.serving.forms import NewModelForm
from console.serving.outcome import acted, saved
from console.serving.trying import tenants_by_model
from inference.engines import served
from inference.engines.standing import Condition, standing
from inference.models import Model, Pool
from inference.policy import RouteCondition
from tenants.models import Price

# In inference/engines/capabilities.py, and what an operator reads.
CAPABILITIES: dict[str, Promise] = {
    "text": pgettext_lazy("capability of a model", "text"),
    "embeddings": pgettext_lazy("capability of a model", "embeddings"),
    "images": pgettext_lazy("capability of a model", "images"),
    "audio": pgettext_lazy("capability of a model", "audio"),
    "video": pgettext_lazy("capability of a model", "video"),
    "files": pgettext_lazy("capability of a model", "files"),
    "tools": pgettext_lazy("capability of a model", "tools"),
    "json_schema": pgettext_lazy("capability of a model", "JSON schemas"),
    "logprobs": pgettext_lazy("capability of a model", "log probabilities"),
}


@dataclass(frozen=True, slots=True)
class PoolPlace:
    pool: Pool
    first: bool
    last: bool
    turn: int  # when it is tried, from 1 on
    engines: int
    ready: int  # engines that take requests
    hosted: bool
    price: Price | None  # of its own

    @property
    def is_first_tried(self) -> bool:
        return self.turn == 1


@dataclass(frozen=True, slots=True)
class ModelLine:
    model: Model
    pools: list[PoolPlace]
    context_length: int | None  # None: it is not served
    takes: list[tuple[Promise, bool]]  # what is known of it, in words
    price: Price | None
    tried_in: list[str]  # tenants in which who looks may try it


@operators_only
@recently_proven
def models(request: ConsoleRequest) -> HttpResponse:
    form = NewModelForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and saved(form, lambda: _add(form, request)):
        said = _("The model %(name)s is there. It is served once a pool of it has an engine.")
        messages.success(request, said % form.cleaned_data)
        return redirect("console:served_models")
    context = {"lines": _lines(request), "form": form, "public_url": settings.PUBLIC_URL}
    return render(request, "console/serving/models.html", context)


@operators_only
def live(request: ConsoleRequest) -> HttpResponse:
    context = {"lines": _lines(request), "public_url": settings.PUBLIC_URL}
    return render(request, "console/serving/_models.html", context)


@require_POST
@operators_only
@recently_proven
def removal(request: ConsoleRequest, served_model: UUID) -> HttpResponse:
    found: Model = get_object_or_404(Model, pk=served_model)
    said = _("The model %(name)s is removed.") % {"name": found.name}
    acted(request, lambda: found.remove(by=request.actor), said)
    return redirect("console:served_models")


def _add(form: NewModelForm, request: ConsoleRequest) -> None:
    Model.add(form.cleaned_data["name"], by=request.actor)


def _lines(request: ConsoleRequest) -> list[ModelLine]:
    tried_in = tenants_by_model(request.user)
    prices = {(price.model, price.pool): price for price in Price.objects.holding()}
    rows = Model.objects.prefetch_related("pools__engines")
    return [_line(model, prices, tried_in.get(model.name, [])) for model in rows]


def _line(model: Model, prices: dict[tuple[str, str], Price], tried_in: list[str]) -> ModelLine:
    price = prices.get((model.name, ""))
    engine, pools = served().get(model.name), list(model.pools.all())
    turns = sorted(pools, key=_comes_later)
    places = [
        _place(pool, at, pools, turns.index(pool) + 1, prices.get((model.name, pool.name)))
        for at, pool in enumerate(pools)
    ]
    if engine is None:
        return ModelLine(model, places, None, [], price, [])
    known = [
        (text, engine.known[name]) for name, text in CAPABILITIES.items() if name in engine.known
    ]
    return ModelLine(model, places, engine.context_length, known, price, tried_in)


def _comes_later(pool: Pool) -> bool:
    """As inference/engines/snapshot.py has it."""
    return pool.condition == RouteCondition.FAILOVER or _is_hosted(pool)


def _is_hosted(pool: Pool) -> bool:
    return any(engine.hosted for engine in pool.engines.all())


def _place(pool: Pool, at: int, pools: list[Pool], turn: int, price: Price | None) -> PoolPlace:
    engines = list(pool.engines.all())
    now = [standing(engine).condition for engine in engines]
    first, last, ready = at == 0, at == len(pools) - 1, now.count(Condition.READY)
    return PoolPlace(pool, first, last, turn, len(engines), ready, _is_hosted(pool), price)
