"""Finds what a job stands on: a version in the registry, and a pool whose GPUs it uses."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from inference.engines import pools, pools_of
from inference.jobs.refusals import JobRefused, NoPool
from inference.models import Engine, ModelVersion, VersionKind

MayUse = Callable[[str], bool]  # whether the caller may use a served model
_NO_BASES = (VersionKind.ADAPTER, VersionKind.CALIBRATOR)


MOST_PROCESSES = 8  # of a trainer where no engine of the pool names its GPUs


class Place(NamedTuple):
    model: str
    pool: str

    @property
    def most_processes(self) -> int:
        """Returns how many processes a trainer may have: one for each GPU of an engine."""
        pool = pools().get(self.pool)
        engines = pool.all_engines if pool else ()
        return max((len(each.config.gpus) for each in engines), default=0) or MOST_PROCESSES


def base_version(tenant_id: UUID, name: str, may_use: MayUse) -> ModelVersion:
    """Returns the version that `name` means, in the tenant's scope. Raises JobRefused.

    `NAME@NUMBER` is that version of the registry, `NAME` the latest; a tenant's own go before the
    platform's. The name of a served model means the version that its engine serves.
    """
    version = _registered(tenant_id, name) or _served(tenant_id, name, may_use)
    if version is None:
        text = f"there is no model `{name[:80]}` in the registry: register it, or check its name"
        raise JobRefused(text, code="model_not_found", param="model")
    if version.kind in _NO_BASES:
        text = f"`{version}` is an {version.kind}: name the model that it stands on"
        raise JobRefused(text, code="model_not_trainable", param="model")
    return version


def _registered(tenant_id: UUID, name: str) -> ModelVersion | None:
    stem, at, number = name.partition("@")
    if "\0" in stem or (at and not is_number(number)):
        return None
    rows = ModelVersion.objects.visible_to(tenant_id).ready().filter(name=stem)
    if at:
        rows = rows.filter(number=int(number))
    own, platform = rows.filter(tenant=tenant_id), rows.filter(tenant=None)
    return own.order_by("-number").first() or platform.order_by("-number").first()


def is_number(text: str) -> bool:
    """Returns whether a text is the number of a version."""
    return text.isascii() and text.isdigit() and len(text) < 9


def adapter_version(tenant_id: UUID, name: str) -> ModelVersion:
    """Returns the adapter that `NAME@NUMBER` or `NAME` means, in the tenant's scope.

    Raises JobRefused.
    """
    version = _registered(tenant_id, name)
    if version is None or version.kind != VersionKind.ADAPTER:
        text = f"there is no adapter `{name[:80]}` in the registry"
        raise JobRefused(text, code="model_not_found", param="parameters")
    return version


def _served(tenant_id: UUID, name: str, may_use: MayUse) -> ModelVersion | None:
    if not may_use(name):
        return None
    ids = [engine.config.id for pool in pools_of(name) for engine in pool.engines]
    rows = Engine.objects.filter(name__in=ids).exclude(model_version_id=None)
    pks = list(rows.order_by("position").values_list("model_version_id", flat=True))
    return ModelVersion.objects.visible_to(tenant_id).filter(pk__in=pks).ready().first()


def place(model: str, may_use: MayUse, wanted: str = "") -> Place:
    """Returns the pool for a job: the wanted one, one of the model, or the first of this
    installation. Raises JobRefused, NoPool."""
    here = [pool for pool in pools().values() if not pool.hosted and may_use(pool.model)]
    if wanted:
        here = [pool for pool in here if pool.name == wanted]
        if not here:
            raise JobRefused(f"there is no pool `{wanted[:80]}` for jobs", param="pool")
    own = [pool for pool in here if pool.model == model]
    for pool in [*own, *here]:
        return Place(pool.model, pool.name)
    raise NoPool("no pool of this installation takes jobs", code="no_pool")
