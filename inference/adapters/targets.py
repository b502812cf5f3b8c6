"""The engines that should have an adapter, and what each kind needs to have it.

A llama.cpp reads adapters at its start alone: a server of ours is replaced by a new version with
one more, without a failed request (inference/replacing). A vLLM loads them while it runs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from inference.adapters import files, sharing
from inference.engine_entries import version_besides_adapters
from inference.engines import built
from inference.engines.base import AdapterMissing, EngineAway, EngineFailed
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.vllm import VllmEngine
from inference.engines.transport.session import EngineSession
from inference.models import AdapterPromotion, Engine, ModelVersion, Replacement
from inference.models.adapter import versions_on_engines
from inference.models.replacement import Step
from inference.registry import versions
from inference.registry.following import entry_of

BY = "system:adapters"
NO_ENGINE = "no engine of this model can have it: llama.cpp needs a GGUF file, vLLM peft's files"


class Refused(Exception):
    """The reason, for people, why an adapter is not loaded."""


def serving(base: str) -> QuerySet[Engine]:
    """Returns the engines of a model that take requests."""
    rows = Engine.objects.filter(pool__model__name=base, draining=False, staged=False)
    return rows.select_related("pool__model").order_by("position", "created_at")


def targets(promotion: AdapterPromotion) -> list[Engine]:
    """Returns the engines that can have this version. Raises Refused if none can."""
    engines = [e for e in serving(promotion.adapter.base) if _can_have(e, promotion.formats)]
    if not engines:
        raise Refused(NO_ENGINE)
    return engines


def _can_have(engine: Engine, formats: str) -> bool:
    if engine.kind == "llama_cpp":
        return files.GGUF in formats
    return engine.kind == "vllm" and loads_adapters(engine) and files.PEFT in formats


def loads_adapters(engine: Engine) -> bool:
    return bool(engine.options.get("loads_adapters"))


def has(engine: Engine, promotion: AdapterPromotion) -> bool:
    """Returns whether an engine has it; else something is under way. Raises Refused."""
    ours = engine.kind == "vllm" or str(promotion.version_id) in listed_by(engine)
    if ours:
        return _confirmed(engine, promotion)
    _add(engine, promotion)
    return False


def listed_by(engine: Engine) -> list[str]:
    """Returns the versions that a llama.cpp reads at its start."""
    return list(engine.options.get("adapters") or [])


def _confirmed(row: Engine, promotion: AdapterPromotion) -> bool:
    """Returns False while its server does not answer. Raises Refused."""
    engine, adapter = built(entry_of(row)), promotion.order_adapter
    assert isinstance(engine, LlamaCppEngine | VllmEngine)
    try:
        ask(lambda session: engine.load_adapter(session, adapter))
    except EngineAway:
        return False
    except AdapterMissing:
        raise Refused(f"the server of {row.name} did not load it: its log says why") from None
    except EngineFailed as failure:
        raise Refused(f"the server of {row.name} did not load it: {failure.cause}") from None
    return True


def ask(question: Callable[[EngineSession], Awaitable[Any]]) -> None:
    async def asked() -> None:
        async with EngineSession() as session:
            await question(session)

    asyncio.run(asked())


# llama.cpp ---------------------------------------------------------------------------------------
def _add(engine: Engine, promotion: AdapterPromotion) -> None:
    """Begin to replace the engine by one with the adapter, or follow that. Raises Refused."""
    if not engine.launched:
        raise Refused(
            f"{engine.name} is started by its operator: start a server with the adapter, and name "
            "the version in the engine's option `adapters`"
        )
    under_way = Replacement.objects.open().filter(Q(old=engine) | Q(new=engine))
    if (replacement := under_way.select_related("new").first()) is not None:
        if replacement.pk == promotion.replacement:
            _refuse_if_it_dies(replacement)
        return
    begun = Replacement.objects.filter(old_name=engine.name)
    own = begun.filter(pk=promotion.replacement).first() if promotion.replacement else None
    if own and own.step in (Step.FAILED, Step.CANCELLED, Step.ROLLED_BACK):
        raise Refused(own.reason or "an operator ended its loading")
    if problem := sharing.replacement_problem(engine, promotion):
        raise Refused(problem)
    new = replace(engine, _with(engine, promotion))
    AdapterPromotion.objects.filter(pk=promotion.pk).update(replacement=new.pk)


def _refuse_if_it_dies(replacement: Replacement) -> None:
    """Give up at the first death of the new server: it would start again for minutes."""
    reason = replacement.new.starting_reason if replacement.new else ""
    if reason and replacement.can_be_cancelled:
        replacement.cancel(by=BY)
        raise Refused(f"the server with it {reason}: is it an adapter of this model?")


def replace(engine: Engine, adapters: list[str]) -> Replacement:
    """Begin to replace an engine by one with these adapters. Raises Refused."""
    try:
        name, fields = versions.proposed(engine, {"options": {"adapters": adapters}})
        own, of = fields["options"]["version"], version_besides_adapters(engine.options)
        fields["options"]["same_as"] = {"version": own, "of": of}  # the base's kept answers stay
        return Replacement.begin(engine, name, fields, by=BY, is_gated=False)
    except ValidationError as problem:
        raise Refused(" ".join(problem.messages)) from None


def _with(engine: Engine, promotion: AdapterPromotion) -> list[str]:
    """Returns its adapters with one more, the earlier ones as long as there is room.

    Raises Refused if all places are taken by adapters that serve, or the tenant's share of them.
    """
    most, present = settings.ADAPTERS_PER_ENGINE, listed_by(engine)
    wanted = set(map(str, versions_on_engines(promotion.adapter.base)))
    needed = [name for name in present if name in wanted]
    if len(needed) >= most:
        raise Refused(f"each engine of this model has room for {most} adapters")
    if problem := sharing.place_problem(engine, promotion, needed):
        raise Refused(problem)
    ready = ModelVersion.objects.ready().filter(pk__in=present).values_list("pk", flat=True)
    spare = [name for name in present if name not in wanted and name in set(map(str, ready))]
    room = most - len(needed) - 1
    stays = {*needed, *(spare[-room:] if room else [])}
    return [*(name for name in present if name in stays), str(promotion.version_id)]
