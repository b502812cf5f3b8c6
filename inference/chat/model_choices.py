"""The models that a person may choose from: what they can do, what they cost, how busy they are."""

import math
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from inference import classes
from inference.engines import pools_of
from inference.engines.base import Engine
from inference.engines.health.reachability import all_down
from inference.engines.snapshot import Pool
from inference.intake.access.allowed import choices_for
from inference.queue.expected_wait import expected, figures_of
from tenants.models import Member, Price, Tenant

ROUTE = "chat"


class ModelPrice(msgspec.Struct, frozen=True):
    """A price per million tokens, in the currency of the installation."""

    prompt: str
    completion: str


class ModelChoice(msgspec.Struct, frozen=True):
    """`tools` and `images` are None where nobody has said whether the model takes them.

    `behind` is the model that an adapter or an alias leads to.
    """

    name: str
    behind: str
    context: int
    tools: bool | None
    images: bool | None
    hosted: bool
    state: str  # ready, busy or down
    wait_s: int
    price: ModelPrice | None


def choices(member: Member) -> list[ModelChoice]:
    engines = choices_for(member)
    prices = _prices(engine.config.name for engine in engines.values())
    return [_choice(name, engine, member.tenant, prices) for name, engine in engines.items()]


def _choice(
    name: str, engine: Engine, tenant: Tenant, prices: dict[str, ModelPrice]
) -> ModelChoice:
    model = engine.config.name
    pools = [pool for pool in pools_of(model) if not (tenant.local_only and pool.hosted)]
    state, wait_s = _state(pools, tenant)
    return ModelChoice(
        name=name,
        behind=model if model != name else "",
        context=engine.context_length,
        tools=engine.known.get("tools"),
        images=engine.known.get("images"),
        hosted=bool(pools) and all(pool.hosted for pool in pools),
        state=state,
        wait_s=wait_s,
        price=prices.get(model),
    )


def _state(pools: list[Pool], tenant: Tenant) -> tuple[str, int]:
    """Returns the state of a model, by what this process knows, and the seconds of a wait."""
    up = [pool for pool in pools if pool.engines and not all_down(pool.engines)]
    if not up:
        return "down", 0
    klass = classes.assigned(tenant.tier, ROUTE)
    if any(not figures_of(pool.name).full for pool in up):
        return "ready", 0
    return "busy", math.ceil(min(expected(pool.name, klass) for pool in up))


def _prices(models: Iterable[str]) -> dict[str, ModelPrice]:
    rows = Price.objects.holding().filter(model__in=set(models), pool="")
    return {row.model: ModelPrice(_amount(row.prompt), _amount(row.completion)) for row in rows}


def _amount(price: Decimal) -> str:
    return f"{price.normalize():f}"
