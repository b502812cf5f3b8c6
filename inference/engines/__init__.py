"""Engines by kind, and the models that this installation serves."""

from dataclasses import replace
from functools import cache

from django.conf import settings

from audit.keys import configuration
from audit.keys.cipher import Unreadable
from inference.engines import capabilities
from inference.engines.base import Engine, EngineConfig
from inference.engines.llama_cpp import LlamaCppEngine
from inference.engines.openai import OpenAIEngine
from inference.engines.prompt_bound import GROWTH
from inference.engines.sglang import SglangEngine
from inference.engines.vllm import VllmEngine

KINDS: dict[str, type[Engine]] = {
    "llama_cpp": LlamaCppEngine,
    "openai": OpenAIEngine,
    "sglang": SglangEngine,
    "vllm": VllmEngine,
}


@cache
def served() -> dict[str, Engine]:
    """Model name -> its engine. Raises ValueError for an unknown kind or key, or a bad secret."""
    return {name: _engine(name, entry) for name, entry in settings.ENGINES.items()}


def _engine(name: str, entry: dict[str, object]) -> Engine:
    kind = str(entry["kind"])
    if kind not in KINDS:
        raise ValueError(f"engine {name!r}: unknown kind {kind!r}; known are {', '.join(KINDS)}")
    try:
        capabilities.check_declared(entry.get("capabilities", {}))
        config = EngineConfig(**{"name": name, "model": name, **entry})  # type: ignore[arg-type]
        if config.normal_form not in ("", *GROWTH):
            raise ValueError(f"normal_form must be empty or one of {', '.join(GROWTH)}")
        config = replace(config, api_key=configuration.opened(config.api_key, name))
    except Unreadable:
        raise ValueError(f"engine {name!r}: its api_key was not sealed here for {name!r}") from None
    except (TypeError, ValueError) as problem:
        raise ValueError(f"engine {name!r}: {problem}") from None
    return KINDS[kind](config)
