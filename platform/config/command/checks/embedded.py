"""The servers that `forebay run` starts where none is configured. The shipped image has none."""

import importlib.util
import os
from collections.abc import Callable, Iterator

from config import environment
from config.command.checks.finding import RUN, Finding, fail, ok, warn
from config.supervisor.embedded import valkey
from config.supervisor.embedded.postgres_files import wheel
from config.supervisor.engines.embedded_engine import bundled_model
from config.supervisor.terminal import Problem
from inference import pools


def postgresql() -> Finding:
    return _presence_of("postgresql", wheel, "embedded: DATABASE_URL names none")


def redis() -> Finding:
    return _presence_of("redis", valkey.binary, "embedded: REDIS_URL names none")


def findings() -> Iterator[Finding]:
    """Yield a finding about llama.cpp and its model, where an engine here needs them."""
    launched = [
        entry.engine
        for entry in pools.entries(environment.engines())
        if entry.fields.get("launch") and entry.fields.get("kind") == "llama_cpp"
    ]
    if launched and not _has_llama_cpp():
        yield fail("engine", f"{launched[0]} is launched here, and xllamacpp is not installed")
    if not (environment.engines() or os.environ.get("FOREBAY_ROLES")):
        yield _bundled()


def _bundled() -> Finding:
    """Return the state of the bundled engine.

    Every other subcommand works without it: engines may be added over the API.
    """
    problem = "" if _has_llama_cpp() else "llama.cpp (xllamacpp) is not installed"
    try:
        if not os.environ.get("FOREBAY_MODEL"):
            bundled_model()
    except Problem as missing:
        problem = problem or str(missing)
    if problem:
        return warn(RUN, f"cannot start: {problem}; set FOREBAY_ENGINES or FOREBAY_ROLES")
    return ok("engine", "embedded: FOREBAY_ENGINES names none")


def _has_llama_cpp() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


def _presence_of(subject: str, look: Callable[[], object], says: str) -> Finding:
    try:
        look()
    except Problem as problem:
        return fail(subject, str(problem))
    return ok(subject, says)
