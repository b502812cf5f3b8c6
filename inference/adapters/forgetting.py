"""Has engines forget the adapters whose version was deleted.

No request reaches one from the moment of its deletion (inference/registry/following.py). Then its
copies go: out of a vLLM's memory, out of a llama.cpp with its replacement, and from the disk.
"""

import logging
from uuid import UUID

import aiohttp
from django.db.models import Q

from inference.adapters import files
from inference.adapters.targets import Refused, ask, listed_by, loads_adapters, replace, serving
from inference.engines import built
from inference.engines.kinds.vllm import VllmEngine
from inference.models import AdapterPromotion, Engine, ModelVersion, Replacement
from inference.registry.following import entry_of

log = logging.getLogger(__name__)


def forget_all() -> None:
    """Forget each deleted version that was ever promoted, at the next call what is still in use."""
    for promotion in AdapterPromotion.objects.to_forget():
        if _is_forgotten(promotion):
            _forgotten(promotion)


def _is_forgotten(promotion: AdapterPromotion) -> bool:
    states = [_has_forgotten(engine, promotion.version_id) for engine in _engines(promotion)]
    return all(states)


def _engines(promotion: AdapterPromotion) -> list[Engine]:
    return list(serving(promotion.adapter.base))


def _has_forgotten(engine: Engine, version: UUID) -> bool:
    if engine.kind == "vllm" and loads_adapters(engine):
        return _unloaded(engine, version)
    if not engine.launched or str(version) not in listed_by(engine):
        return True
    if not Replacement.objects.open().filter(Q(old=engine) | Q(new=engine)).exists():
        _take_out(engine)
    return False


def _unloaded(row: Engine, version: UUID) -> bool:
    engine = built(entry_of(row))
    assert isinstance(engine, VllmEngine)
    try:
        ask(lambda session: engine.unload_adapter(session, version))
    except (aiohttp.ClientError, TimeoutError, OSError) as problem:
        log.warning("%s cannot forget an adapter: %s", row.name, problem)
        return False
    return True


def _take_out(engine: Engine) -> None:
    """Replace a llama.cpp by one without deleted versions."""
    present = listed_by(engine)
    ready = ModelVersion.objects.ready().filter(pk__in=present).values_list("pk", flat=True)
    names = set(map(str, ready))
    try:
        replace(engine, [name for name in present if name in names])
    except Refused as problem:
        log.warning("%s cannot forget an adapter: %s", engine.name, problem)


def _forgotten(promotion: AdapterPromotion) -> None:
    files.remove(promotion.version_id)
    promotion.forgotten()
