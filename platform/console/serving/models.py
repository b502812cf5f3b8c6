"""Page of the models that the platform serves: their pools in order, capabilities and prices."""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.serving.capability_words import CAPABILITIES
from console.serving.forms import NewModelForm
from inference.chat.membership import memberships
from inference.engines import served
from inference.engines.health.reachability import Condition, engine_state
from inference.intake.access.allowed import models_for
from inference.models import Model, Pool
from inference.pool_policy import RouteCondition
from tenants.models import Price, User


@dataclass(frozen=True, slots=True)
class PoolPosition:
    pool: Pool
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
    if saved(form, lambda: Model.add(**form.cleaned_data, by=request.actor)):
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
    return report_and_leave(request, row.remove, text, "console:served_models")


def _lines(request: ConsoleRequest) -> list[ModelLine]:
    tried_in = _tenants_by_model(request.user)
    prices = {(price.model, price.pool): price for price in Price.objects.holding()}
    rows = Model.objects.prefetch_related("pools__engines")
    return [_line(model, prices, tried_in.get(model.name, [])) for model in rows]


def _line(model: Model, prices: dict[tuple[str, str], Price], tried_in: list[str]) -> ModelLine:
    price = prices.get((model.name, ""))
    engine, pools = served().get(model.name), list(model.pools.all())
    turns = sorted(pools, key=_is_tried_later)
    positions = [
        _position(pool, turns.index(pool) + 1, prices.get((model.name, pool.name)))
        for pool in pools
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


def _position(pool: Pool, turn: int, price: Price | None) -> PoolPosition:
    engines = list(pool.engines.all())
    conditions = [engine_state(engine).condition for engine in engines]
    ready = conditions.count(Condition.READY)
    return PoolPosition(pool, turn, len(engines), ready, _is_hosted(pool), price)


def _tenants_by_model(user: User) -> dict[str, list[str]]:
    """Returns the names of the tenants in which a person may try a model in the chat."""
    tenants: dict[str, list[str]] = {}
    for member in memberships(user).select_related("tenant"):
        for model in models_for(member):
            tenants.setdefault(model, []).append(member.tenant.name)
    return tenants
