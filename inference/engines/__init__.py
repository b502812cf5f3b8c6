"""Engines by kind, and the models and pools that this installation serves."""

from dataclasses import dataclass, replace
from functools import cache

from django.conf import settings

from audit.keys import configuration
from audit.keys.cipher import Unreadable
from inference.engines import capabilities
from inference.engines.base import Engine, EngineConfig
from inference.engines.deepseek import DeepSeekEngine
from inference.engines.llama_cpp import LlamaCppEngine
from inference.engines.openai import OpenAIEngine
from inference.engines.prompt_bound import GROWTH
from inference.engines.sglang import SglangEngine
from inference.engines.vllm import VllmEngine
from inference.pools import Entry, entries

KINDS: dict[str, type[Engine]] = {
    "deepseek": DeepSeekEngine,
    "llama_cpp": LlamaCppEngine,
    "openai": OpenAIEngine,
    "sglang": SglangEngine,
    "vllm": VllmEngine,
}


@dataclass(frozen=True, slots=True)
class Pool:
    """One queue and the engines that drain it."""

    name: str
    model: str
    engines: tuple[Engine, ...]

    def engine(self, name: str) -> Engine:
        return next(engine for engine in self.engines if engine.config.id == name)

    @property
    def hosted(self) -> bool:
        """Whether a prompt may leave this installation here."""
        return any(engine.config.hosted for engine in self.engines)


@cache
def pools() -> dict[str, Pool]:
    """Pool name -> pool, a model's in the order in which they are tried.

    Raises ValueError for an unknown kind or key, or a bad secret.
    """
    found: dict[str, Pool] = {}
    for entry in entries(settings.ENGINES):
        before = found.get(entry.pool)
        engines = (*(before.engines if before else ()), _engine(entry))
        found[entry.pool] = Pool(entry.pool, entry.model, engines)
    return found


@cache
def served() -> dict[str, Engine]:
    """Model name -> the engine that its requests are checked and prepared for: the first one."""
    found: dict[str, Engine] = {}
    for pool in pools().values():
        found.setdefault(pool.model, pool.engines[0])
    return found


@cache
def pools_of(model: str) -> tuple[Pool, ...]:
    return tuple(pool for pool in pools().values() if pool.model == model)


def engines_of(model: str) -> list[Engine]:
    return [engine for pool in pools_of(model) for engine in pool.engines]


def engines() -> list[Engine]:
    return [engine for pool in pools().values() for engine in pool.engines]


def forget() -> None:
    """Settings have changed, as they do in tests."""
    pools.cache_clear()
    served.cache_clear()
    pools_of.cache_clear()


def _engine(configured: Entry) -> Engine:
    name, entry = configured.engine, configured.fields
    kind = str(entry["kind"])
    if kind not in KINDS:
        raise ValueError(f"engine {name!r}: unknown kind {kind!r}; known are {', '.join(KINDS)}")
    try:
        capabilities.check_declared(entry.get("capabilities", {}))
        model = configured.model
        config = EngineConfig(**{"name": model, "model": model, "id": name, **entry})
        if config.normal_form not in ("", *GROWTH):
            raise ValueError(f"normal_form must be empty or one of {', '.join(GROWTH)}")
        config = replace(config, api_key=configuration.opened(config.api_key, configured.pool))
    except Unreadable:
        raise ValueError(
            f"engine {name!r}: its api_key was not encrypted here for {configured.pool!r}"
        ) from None
    except (TypeError, ValueError) as problem:
        raise ValueError(f"engine {name!r}: {problem}") from None
    return KINDS[kind](config)
