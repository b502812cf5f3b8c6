"""A driver or a worker of jobs in a process of its own, which kills itself at a place of the code.

The environment's DYING says which, and where: `before` or `after` a function, by its path.
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from inference.jobs.driving import drive
from inference.worker.runner import Runner
from tests.inference.scripted import ScriptedEngine


def work() -> None:
    """Return only where the place is never reached."""
    wish = json.loads(os.environ["DYING"])
    settings.DATABASE_URL = wish["dsn"]
    for name, value in wish["settings"].items():
        setattr(settings, name, Path(value) if name in wish["paths"] else value)
    _lay(*wish["at"].split())
    if wish["role"] == "driver":
        drive(UUID(wish["job"]))
    else:
        asyncio.run(_run(wish["pool"]))


async def _run(pool: str) -> None:
    engine = ScriptedEngine()
    engine.config = replace(engine.config, id=pool)
    await Runner(pool, engine).drain()


def _lay(when: str, path: str) -> None:
    """Have the process die before or after its first call of a function."""
    holder, _dot, name = path.rpartition(".")
    owner = _found(holder)
    function = getattr(owner, name)
    setattr(owner, name, (_before if when == "before" else _after)(function))


def _found(path: str) -> Any:
    """Returns a module, or a class in it."""
    try:
        return import_module(path)
    except ModuleNotFoundError:
        module, _dot, name = path.rpartition(".")
        return getattr(import_module(module), name)


def _die(*_arguments: Any, **_named: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(_function: Callable[..., Any]) -> Callable[..., Any]:
    return _die


def _after(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def ended(*arguments: Any, **named: Any) -> None:
        function(*arguments, **named)
        _die()

    @wraps(function)
    async def awaited(*arguments: Any, **named: Any) -> None:
        await function(*arguments, **named)
        _die()

    return awaited if iscoroutinefunction(function) else ended
