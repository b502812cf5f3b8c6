"""The version of a model that serves a tenant now, as this process knows it."""

from uuid import UUID

from inference.decisions.spec import PolicySpec
from inference.engines import adapters, engines_of
from inference.engines.base import Engine
from inference.intake.access import allowed


def current(tenant_id: UUID, model: str) -> str:
    """Returns the version behind the name of a model, an adapter or an alias; "" if it has none.

    Where engines of a model differ, all their versions are named: it is none of them.
    """
    if row := adapters.find(tenant_id, allowed.behind(tenant_id, model)):
        return row.adapter.label
    return "+".join(sorted({engine.config.version for engine in engines(tenant_id, model)}))


def engines(tenant_id: UUID, model: str) -> list[Engine]:
    """Returns the engines that may answer requests to such a name."""
    name = allowed.behind(tenant_id, model)
    row = adapters.find(tenant_id, name)
    return engines_of(row.base if row else name)


def has_changed(tenant_id: UUID, spec: PolicySpec) -> bool:
    """Returns whether another version serves than the one that a policy was made for."""
    return current(tenant_id, spec.model) != spec.model_version
