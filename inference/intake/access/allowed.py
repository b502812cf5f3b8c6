"""Models and actions that a caller is allowed, checked for submissions and lists of models.

A model that a caller may not use does not exist for them, so that answers do not reveal other
tenants' models. For all else the refusal names what is missing.

A name that is served to a tenant is that model, or that adapter. Any other may be one of its
aliases, whose rules are those of the model behind it.

A tenant is local-only, or an API key, or one request with `x-forebay-residency: local`. Hosted
pools do not exist for it, neither in routing nor in failover, and a hosted engine's runner refuses
it (worker/run/run.py).
"""

from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from inference.engines import adapters, aliases, answering, is_open_to, pools_of, served
from inference.engines.adapters import AdapterInForce
from inference.engines.aliases import AliasInForce
from inference.engines.base import Engine
from inference.errors import BadRequest, Unavailable
from inference.intake.route import open_to
from inference.local_only import HEADER, LOCAL, local_only_reason
from inference.order import OrderAdapter
from tenants.caller import Caller, LocalOnlyBy
from tenants.key_scopes import Scope
from tenants.model_access import withheld_from
from tenants.models import Member, Tenant


def bound_to_residency(caller: Caller, header: str | None) -> Caller:
    """Returns the caller, local-only if the header says so. Raises BadRequest."""
    if header is None:
        return caller
    if header.strip().lower() != LOCAL:
        raise BadRequest(f"{HEADER} must be `{LOCAL}`, or be left out", param=HEADER)
    return caller if caller.local_only else replace(caller, local_only_by=LocalOnlyBy.REQUEST)


def check_residency(caller: Caller, model: str) -> None:
    """Check that a model which the caller may use needs no hosted engine. Raises Unavailable."""
    if caller.local_only and not open_to(caller, model):
        raise would_leave(caller, f"`{model}` is served by hosted engines alone")


def would_leave(caller: Caller, reason: str) -> Unavailable:
    error = Unavailable(
        f"this request would have to leave this installation: {reason}, and "
        f"{local_only_reason(caller.local_only_by)}",
        code="no_local_engine",
    )
    error.extra.append((b"x-should-retry", b"false"))
    return error


class NotAllowed(Exception):
    """`code` is for programs, the message for the people behind them."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class NoSuchModel(Exception):
    """The model is not served, or `hidden` from this caller, who gets the same answer.

    `alias_of` is the model that is not served, where the name is an alias.
    """

    def __init__(self, name: str, *, hidden: bool, alias_of: str = "") -> None:
        super().__init__(name)
        self.name, self.hidden, self.alias_of = name, hidden, alias_of


def check_address(caller: Caller, client_ip: str) -> None:
    """Check the caller's address. Raises NotAllowed."""
    if not caller.may_come_from(client_ip):
        raise NotAllowed(
            "address_not_allowed", f"this API key cannot be used from the address {client_ip}"
        )


def check_scope(caller: Caller, scope: str = Scope.INFERENCE) -> None:
    """Check the key's scope; one for inference may do batches as well. Raises NotAllowed."""
    if caller.scopes.isdisjoint((scope, Scope.INFERENCE)):
        who = "this API key" if caller.api_key_id else "your role"
        raise NotAllowed("insufficient_scope", f"{who} does not have the scope `{scope}`")


def check(caller: Caller, engine: Engine, client_ip: str, scope: str = Scope.INFERENCE) -> None:
    """Check address, scope and model. Raises NotAllowed, NoSuchModel, Unavailable."""
    check_address(caller, client_ip)
    check_scope(caller, scope)
    engine_for(caller, engine.config.name)


def visible(caller: Caller, engine: Engine) -> bool:
    """Hides models served only by hosted pools from local-only callers."""
    model = engine.config.name
    return bool(open_to(caller, model)) and may_use(caller, model)


def may_use(caller: Caller, model: str) -> bool:
    """Returns whether the model is open to the caller's tenant, and to the caller there."""
    return is_open_to(caller.tenant_id, model) and caller.may_use(model)


class Target(NamedTuple):
    """The engine that a request is prepared for, and its adapter on that engine's model."""

    engine: Engine
    adapter: OrderAdapter | None = None

    @property
    def name(self) -> str:
        """Returns the name of what answers, as answers have it."""
        model = self.engine.config.name
        return f"{model}:{self.adapter.name}" if self.adapter else model


def engine_for(caller: Caller, model: str) -> Engine:
    """Returns the engine of `target_for`. Raises as it does."""
    return target_for(caller, model).engine


def target_for(caller: Caller, model: str) -> Target:
    """Returns the target of the name of a model, of an adapter, or of an alias for one of them.

    Rules for an adapter are those of its base. Raises NoSuchModel, and Unavailable if the request
    would have to leave this installation.
    """
    target = _named(caller.tenant_id, model) or _behind_alias(caller.tenant_id, model)
    if target is None or not caller.may_use(target.engine.config.name):
        hidden = target is not None or model in served()
        raise NoSuchModel(model, hidden=hidden, alias_of=_missing(caller.tenant_id, model))
    check_residency(caller, target.engine.config.name)
    return target


def is_served(tenant_id: UUID, model: str) -> bool:
    """Returns whether it is the name of a model or an adapter that is served to the tenant."""
    return _named(tenant_id, model) is not None


def behind(tenant_id: UUID, name: str) -> str:
    """Returns the name that an alias stands for; else the name itself."""
    alias = aliases.find(tenant_id, name)
    return alias.model if alias and not is_served(tenant_id, name) else name


def context_length(tenant_id: UUID, name: str) -> int:
    """Returns the context of a model, an adapter's base, or an alias, in tokens; 0 for no such."""
    target = _named(tenant_id, name) or _behind_alias(tenant_id, name)
    return target.engine.context_length if target else 0


def _named(tenant_id: UUID, model: str) -> Target | None:
    engine, adapter = served().get(model), None
    if engine is None and (row := adapters.find(tenant_id, model)):
        engine, adapter = served().get(row.base), row.adapter
    if engine is None or not is_open_to(tenant_id, engine.config.name):
        return None
    return Target(engine, adapter)


def _behind_alias(tenant_id: UUID, name: str) -> Target | None:
    alias = aliases.find(tenant_id, name)
    return _named(tenant_id, alias.model) if alias else None


def _missing(tenant_id: UUID, name: str) -> str:
    """Returns the model of an alias, if that is not served; else ""."""
    alias = aliases.find(tenant_id, name)
    return alias.model if alias and not is_served(tenant_id, alias.model) else ""


def listed(caller: Caller, model: str) -> Engine:
    """Returns one of `engines_for`. Raises NoSuchModel."""
    engine = served().get(model)
    if engine is None or not visible(caller, engine):
        missing = _missing(caller.tenant_id, model)
        raise NoSuchModel(model, hidden=engine is not None, alias_of=missing)
    return engine


def adapters_for(caller: Caller) -> list[AdapterInForce]:
    """Returns the adapters of the caller's tenant whose base the caller may use."""
    own = adapters.of_tenant(caller.tenant_id)
    return [row for row in own if (base := served().get(row.base)) and visible(caller, base)]


def aliases_for(caller: Caller) -> list[AliasInForce]:
    """Returns the aliases of the caller's tenant whose model the caller may use."""
    own = aliases.of_tenant(caller.tenant_id)
    return [row for row in own if _is_listed(caller, row)]


def _is_listed(caller: Caller, alias: AliasInForce) -> bool:
    target = _named(caller.tenant_id, alias.model)
    if target is None or _named(caller.tenant_id, alias.name):
        return False
    return visible(caller, target.engine)


def first_for(caller: Caller) -> str:
    """Returns the first model that may answer the caller; "" if there is none.

    If residency forbids all of them, it is the first of those.
    """
    allowed = [name for name in answering() if may_use(caller, name)]
    return next((name for name in allowed if open_to(caller, name)), "".join(allowed[:1]))


def engines_for(caller: Caller) -> list[Engine]:
    return [engine for engine in served().values() if visible(caller, engine)]


def models_for(member: Member) -> list[str]:
    """Returns the models that a person can choose from, without those for embeddings alone."""
    hidden = withheld_from(member)
    models = [name for name in models_of(member.tenant) if name not in hidden]
    own = adapters.of_tenant(member.tenant_id)
    models += [row.model for row in own if row.base in models]
    named = aliases.of_tenant(member.tenant_id)
    return [*models, *(row.name for row in named if _is_choice(row, models))]


def choices_for(member: Member) -> dict[str, Engine]:
    """Returns the engine behind each of `models_for`."""
    tenant = member.tenant_id
    named = (
        (name, _named(tenant, name) or _behind_alias(tenant, name)) for name in models_for(member)
    )
    return {name: target.engine for name, target in named if target}


def _is_choice(alias: AliasInForce, models: list[str]) -> bool:
    return alias.model in models and not is_served(alias.tenant_id, alias.name)


class NoModels(StrEnum):
    """The reason why a person has no model to choose."""

    NONE_SERVED = "none_served"
    ALL_HOSTED = "all_hosted"  # and the tenant is local-only
    ALL_RESTRICTED = "all_restricted"


def no_models_reason(member: Member) -> NoModels:
    """Returns the reason, for a member without any in `models_for`."""
    if not answering():
        return NoModels.NONE_SERVED
    return NoModels.ALL_RESTRICTED if models_of(member.tenant) else NoModels.ALL_HOSTED


def models_of(tenant: Tenant) -> list[str]:
    """Returns the models that make text for a tenant, of which it may restrict some."""
    return [
        name
        for name in answering()
        if is_open_to(tenant.pk, name)
        and not (tenant.local_only and all(pool.hosted for pool in pools_of(name)))
    ]
