"""A process that calls an action and kills itself before or after a step of the call.

The environment's DYING says which: `before` or `after` a function, by its path.
"""

import asyncio
import json
import os
import signal
from functools import wraps
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any
from uuid import UUID

from django.conf import settings

from inference.actions import calling
from tests.inference.actions.conftest import Dialogue


def work() -> None:
    """Return only where the place is never reached."""
    wish = json.loads(os.environ["DYING"])
    settings.ACTION_HOSTS = ["localhost"]
    _lay(*wish["at"].split())
    ids: Any = {n: UUID(wish["dialogue"][n]) for n in ("tenant_id", "id", "subject_id")}
    asyncio.run(_call(Dialogue(**ids), UUID(wish["turn"]), wish["action"], wish["arguments"]))


async def _call(dialogue: Dialogue, turn: UUID, action: str, arguments: Any) -> None:
    await calling.confirm(dialogue, turn, action, arguments)
    await calling.call(dialogue, turn, action, arguments)


def _lay(when: str, path: str) -> None:
    module, _dot, name = path.rpartition(".")
    owner = import_module(module)
    function = getattr(owner, name)
    setattr(owner, name, _die if when == "before" else _after(function))


def _die(*_arguments: Any, **_named: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _after(function: Any) -> Any:
    @wraps(function)
    def ended(*arguments: Any, **named: Any) -> None:
        function(*arguments, **named)
        _die()

    @wraps(function)
    async def awaited(*arguments: Any, **named: Any) -> None:
        await function(*arguments, **named)
        _die()

    return awaited if iscoroutinefunction(function) else ended
