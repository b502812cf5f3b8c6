"""Page of the models that the platform serves: their pools in order, capabilities and prices."""

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
from console.authorization import ConsoleRequest, operators_only
from console.post_only import require_POST
from console.serving.forms import NewModelForm
from console.serving.reported_acts import act_and_report, try_save
from console.serving.tenants_to_try import tenants_by_model
from inference.engines import served
from inference.engines.health.state import Condition, engine_state
from inference.models import Model, Pool
from inference.policy import RouteCondition
from tenants.models import Price

# The words of inference/engines/capabilities.py for operators.
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
class PoolPosition:
    pool: Pool
    first: bool
    last: bool
    turn: int  # 1 is tried first
    engines: int
    ready: int  # engines that take requests
    hosted: bool
    price: Price | None  # the pool's own

    @property
    def is_first_tried(self) -> bool:
        return self.turn == 1


@dataclass(frozen=True, slots=True)
class ModelLine:
    model: Model
    pools: list[PoolPosition]
    context_length: int | None  # None: it is not served
    takes: list[tuple[Promise, bool]]  # its known capabilities in words
    price: Price | None
    tried_in: list[str]  # tenants in which the caller may try it


@operators_only
@recently_proven
def models(request: ConsoleRequest) -> HttpResponse:
    form = NewModelForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and try_save(form, lambda: _add(form, request)):
        text = _("The model %(name)s is there. It is served once a pool of it has an engine.")
        messages.success(request, text % form.cleaned_data)
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
    row: Model = get_object_or_404(Model, pk=served_model)
    text = _("The model %(name)s is removed.") % {"name": row.name}
    act_and_report(request, lambda: row.remove(by=request.actor), text)
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
    turns = sorted(pools, key=_is_tried_later)
    positions = [
        _position(pool, at, pools, turns.index(pool) + 1, prices.get((model.name, pool.name)))
        for at, pool in enumerate(pools)
    ]
    if engine is None:
        return ModelLine(model, positions, None, [], price, [])
    capabilities = [
        (text, engine.known[name]) for name, text in CAPABILITIES.items() if name in engine.known
    ]
    return ModelLine(model, positions, engine.context_length, capabilities, price, tried_in)


def _is_tried_later(pool: Pool) -> bool:
    """Returns whether routing tries the pool after the others (inference/engines/snapshot.py)."""
    return pool.condition == RouteCondition.FAILOVER or _is_hosted(pool)


def _is_hosted(pool: Pool) -> bool:
    return any(engine.hosted for engine in pool.engines.all())


def _position(
    pool: Pool, at: int, pools: list[Pool], turn: int, price: Price | None
) -> PoolPosition:
    engines = list(pool.engines.all())
    conditions = [engine_state(engine).condition for engine in engines]
    first, last, ready = at == 0, at == len(pools) - 1, conditions.count(Condition.READY)
    return PoolPosition(pool, first, last, turn, len(engines), ready, _is_hosted(pool), price)
