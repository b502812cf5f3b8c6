"""Engines by kind, and the models and pools that this installation serves."""

import logging
from dataclasses import replace
from uuid import UUID

from django.conf import settings

from audit.keys import configuration_secrets
from audit.keys.cipher import Unreadable
from inference.engine_entries import (
    HOSTED,
    EngineEntry,
    entries,
    secret_problem,
    version_problem,
)
from inference.engines import capabilities
from inference.engines.base import Engine, EngineConfig
from inference.engines.kinds.deepseek import DeepSeekEngine
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.kinds.sglang import SglangEngine
from inference.engines.kinds.vllm import VllmEngine
from inference.engines.prompt_bound import GROWTH
from inference.engines.snapshot import Pool as Pool
from inference.engines.snapshot import Snapshot, snapshot
from infrastructure.url_form import url_problem

log = logging.getLogger(__name__)

KINDS: dict[str, type[Engine]] = {
    "deepseek": DeepSeekEngine,
    "llama_cpp": LlamaCppEngine,
    "openai": OpenAIEngine,
    "sglang": SglangEngine,
    "vllm": VllmEngine,
}


_in_force: Snapshot | None = None


def in_force() -> Snapshot:
    """Returns the models and engines that this process serves: the last of `put_in_force`.

    Before that, those of FOREBAY_ENGINES. Raises ValueError for an unknown kind or key, or a bad
    secret there.
    """
    global _in_force
    if _in_force is None:
        _in_force = snapshot(entries(settings.ENGINES), built, Snapshot())
    return _in_force


def put_in_force(configured: list[EngineEntry]) -> bool:
    """Serve these entries. Returns whether anything has changed.

    An entry that cannot be built is logged and left out.
    """
    global _in_force
    before = _in_force or Snapshot()
    if tuple(configured) == before.entries and _in_force:
        return False
    _in_force = snapshot(configured, _built_or_left_out, before)
    return True


def forget() -> None:
    """Drop them: the settings have changed, as they do in tests."""
    global _in_force
    _in_force = None


def pools() -> dict[str, Pool]:
    """Returns pools by name, those of a model in the order in which they are tried."""
    return in_force().pools


def all_queues() -> dict[str, Pool]:
    """Returns the pools by name, and the queues of jobs of those that lend engines."""
    snapshot = in_force()
    return snapshot.pools | snapshot.jobs if snapshot.jobs else snapshot.pools


def served() -> dict[str, Engine]:
    """Returns for each model its first engine, which its requests are prepared for."""
    return in_force().served


def answering() -> dict[str, Engine]:
    """Returns the served models that make text, not embeddings alone."""
    return {name: engine for name, engine in served().items() if engine.capabilities.text}


def pools_of(model: str) -> tuple[Pool, ...]:
    """Returns the pools with an engine that takes requests; if all drain, all of them."""
    return in_force().pools_of.get(model, ())


def is_open_to(tenant_id: UUID, model: str) -> bool:
    """Returns whether a tenant may use a model: some are for one tenant alone."""
    return in_force().only_for.get(model, tenant_id) == tenant_id


def served_to(tenant_id: UUID) -> list[str]:
    """Returns the served models that a tenant may use: of others it learns nothing."""
    return [name for name in served() if is_open_to(tenant_id, name)]


def engines_of(model: str) -> list[Engine]:
    return [engine for pool in pools_of(model) for engine in pool.all_engines]


def engines() -> list[Engine]:
    return [engine for pool in pools().values() for engine in pool.all_engines]


def lent() -> list[Engine]:
    """Returns the GPUs that are lent to jobs."""
    return [engine for queue in in_force().jobs.values() for engine in queue.engines]


def built(configured: EngineEntry) -> Engine:
    """Build the engine of an entry. Raises ValueError."""
    name, entry = configured.engine, configured.fields
    kind = str(entry["kind"])
    if kind not in KINDS:
        raise ValueError(f"engine {name!r}: unknown kind {kind!r}; known are {', '.join(KINDS)}")
    try:
        if problem := url_problem(str(entry["url"])):
            raise ValueError(problem)
        hosted = bool(entry.get("hosted")) or kind in HOSTED
        capabilities.check_declared(entry.get("capabilities", {}))
        model = configured.model
        own = {"id": name, "seat": configured.seat, "from_file": configured.from_file}
        config = EngineConfig(**{"name": model, "model": model, **entry, **own})
        if config.version and (problem := version_problem(config.version)):
            raise ValueError(problem)
        if config.normal_form not in ("", *GROWTH):
            raise ValueError(f"normal_form must be empty or one of {', '.join(GROWTH)}")
        api_key = configuration_secrets.decrypt_secret(config.api_key, configured.pool, config.url)
        if problem := secret_problem(api_key):
            raise ValueError(problem)
        config = replace(config, api_key=api_key, hosted=hosted)
    except Unreadable:
        raise ValueError(
            f"engine {name!r}: its api_key was not encrypted here for {configured.pool!r} "
            f"and {configuration_secrets.origin(str(entry['url']))}"
        ) from None
    except (TypeError, ValueError) as problem:
        raise ValueError(f"engine {name!r}: {problem}") from None
    return KINDS[kind](config)


def _built_or_left_out(entry: EngineEntry) -> Engine | None:
    try:
        return built(entry)
    except ValueError as problem:
        log.error("%s", problem)
        return None
